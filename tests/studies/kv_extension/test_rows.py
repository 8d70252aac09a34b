"""The study's rows as files."""

import json
from io import StringIO

import numpy as np
import pandas as pd

from prophet_xr.studies.kv_extension.report import data_csv, data_json
from prophet_xr.studies.kv_extension.rows import ORDER


def test_data_files_hold_384_rows_of_24_metrics(published):
    frame = pd.read_csv(StringIO(data_csv(published)))
    assert len(frame) == 384
    assert list(frame.columns[-24:]) == ORDER
    assert len(set(ORDER)) == 24
    assert not frame.isna().any().any()
    records = json.loads(data_json(published))
    assert len(records) == 384
    again = pd.DataFrame(records)
    for name in ORDER:
        if frame[name].dtype.kind == "f":
            np.testing.assert_allclose(again[name].astype(float), frame[name], rtol=1e-8)

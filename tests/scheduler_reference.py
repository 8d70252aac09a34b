"""The scheduler as vLLM V1 is written: a list of sequences, walked in every step."""

from dataclasses import dataclass, field

import numpy as np

from prophet_xr.serving.step_time import step_duration


@dataclass(eq=False)
class Sequence:
    request: int
    prompt: int  # tokens to compute before the next comes out; of one preempted, also its output
    total: int
    computed: int = 0
    held: int = 0  # B


@dataclass
class Server:
    tables: object
    requests: object
    priority: object = None
    now: float = 0.0
    used: int = 0
    steps: int = 0
    preemptions: int = 0
    recomputed: int = 0
    peak: float = 0.0
    running: list = field(default_factory=list)
    waiting: list = field(default_factory=list)
    generated: dict = field(default_factory=dict)
    first: dict = field(default_factory=dict)
    finish: dict = field(default_factory=dict)
    batch_time: dict = field(default_factory=dict)

    def order(self, request):
        return 0 if self.priority is None else self.priority[request], request

    def grows(self, sequence, chunk):
        """Take the blocks for a chunk; False if there is no room."""
        blocks = -(-(sequence.computed + chunk) // self.tables.block_tokens)
        need = int(self.tables.sequence_bytes[blocks]) - sequence.held
        sequences = len(self.running) + (sequence not in self.running)
        if self.used + need > self.tables.kv_budget[sequences]:
            return False
        self.used += need
        sequence.held += need
        return True

    def preempt(self):
        victim = max(self.running, key=lambda s: self.order(s.request))
        self.running.remove(victim)
        self.used -= victim.held
        self.preemptions += 1
        self.recomputed += victim.computed
        self.waiting.append(victim.request)
        return victim

    def run(self):
        """Chunks of those that run, and whether any was preempted."""
        chunks, preempted = {}, False
        for sequence in list(self.running):
            left = self.tables.max_tokens - sum(chunks.values())
            chunk, victim = min(sequence.total - sequence.computed, left), None
            while sequence in self.running and not self.grows(sequence, chunk):
                victim = self.preempt()
                chunks.pop(victim, None)
                preempted = True
            if sequence in self.running:
                chunks[sequence] = chunk
        return chunks, preempted

    def admit(self, chunks):
        self.waiting.sort(key=self.order)
        while self.waiting and len(self.running) < self.tables.max_sequences:
            request = self.waiting[0]
            total = int(self.requests.prompt[request]) + self.generated.get(request, 0)
            chunk = min(total, self.tables.max_tokens - sum(chunks.values()))
            sequence = Sequence(request, total, total)
            if chunk == 0 or not self.grows(sequence, chunk):
                return
            self.waiting.pop(0)
            self.running.append(sequence)
            chunks[sequence] = chunk

    def duration(self, chunks):
        prompts = {s: c for s, c in chunks.items() if s.computed < s.prompt}
        context = sum(s.computed + c for s, c in chunks.items()) / len(chunks)
        carried = sum(prompts.values())
        pairs = sum(c * s.computed + c * (c + 1) // 2 for s, c in prompts.items())
        attended = pairs / carried if carried else 0.0
        more = carried - len(prompts)
        return step_duration(self.tables, np.zeros(8), len(chunks), context, more, attended)

    def step(self):
        chunks, preempted = self.run()
        if not preempted:
            self.admit(chunks)
        batch = len(self.running)
        assert batch == len(chunks) > 0
        assert self.used == sum(s.held for s in self.running) <= self.tables.kv_budget[batch]
        self.peak = max(self.peak, self.used / self.tables.kv_budget[batch])
        duration = self.duration(chunks)
        self.batch_time[batch] = self.batch_time.get(batch, 0.0) + duration
        self.now += duration
        self.steps += 1
        for sequence, chunk in chunks.items():
            sequence.computed += chunk
            if sequence.computed == sequence.total:
                self.token(sequence)

    def token(self, sequence):
        request = sequence.request
        sequence.total += 1
        self.generated[request] = self.generated.get(request, 0) + 1
        self.first.setdefault(request, self.now)
        if self.generated[request] == self.requests.output[request]:
            self.finish[request] = self.now
            self.running.remove(sequence)
            self.used -= sequence.held

    def serve(self):
        coming = [n for n in range(self.requests.arrival.size) if self.requests.rejection[n] == 0]
        self.now = self.requests.arrival[0]
        while coming or self.waiting or self.running:
            while coming and self.requests.arrival[coming[0]] <= self.now:
                self.waiting.append(coming.pop(0))
            if self.waiting or self.running:
                self.step()
            else:
                self.now = self.requests.arrival[coming[0]]
        return self

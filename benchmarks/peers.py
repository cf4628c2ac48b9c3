"""Other libraries, trained on the same: TextBrewer, torchdistill, the Hugging Face Trainer.

Each trains on the same examples in batches of the same size, in random order, padded to the
longest of the batch or to 128. The slow ones are stopped after the first batches of an epoch:
random batches cost the same all along. The losses are weighted so that they are this project's.
"""

import logging
from collections.abc import Callable, Iterator
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.own import objective_of
from benchmarks.workload import DEVICE, MAX_LENGTH, Workload, recipe

TEMPERATURE = 2.0
Loss = Callable[[dict[str, Tensor]], Tensor]


class Batches:
    """A data loader: dicts of padded tensors, put together example by example, as collators do."""

    def __init__(self, work: Workload, padded: bool, steps: int = 1) -> None:
        self.work, self.padded, self.steps = work, padded, steps
        split = work.split
        ids = split.flat["input_ids"].long()
        self.examples = [ids[a:b] for a, b in zip(split.offsets, split.offsets[1:], strict=False)]

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(1)
        order = torch.randperm(len(self.examples), generator=generator)
        for rows in order.split(self.work.batch_size)[: self.steps]:
            yield self.batch(rows)

    def batch(self, rows: Tensor) -> dict[str, Tensor]:
        """Examples of some rows."""
        found = [self.examples[i] for i in rows.tolist()]
        length = MAX_LENGTH if self.padded else max(map(len, found))
        ids = torch.stack([F.pad(x, (0, length - len(x))) for x in found])
        mask = torch.stack([F.pad(torch.ones_like(x), (0, length - len(x))) for x in found])
        labels = self.work.split.labels[rows]
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        return {name: value.to(DEVICE) for name, value in batch.items()}


def _models(work: Workload) -> tuple[Any, Any]:
    """Teacher and student that return their attention maps: only the eager attention has them."""
    models = []
    for shape in (work.teacher, work.student):
        model = work.model(shape, "eager").to(DEVICE)  # type: ignore[arg-type]
        model.config.output_hidden_states = model.config.output_attentions = True
        models.append(model)
    return models[0].eval(), models[1]


def _projections(work: Workload) -> list[tuple[int, int, nn.Linear]]:
    """This project's own, so that the losses can agree: (teacher layer, student layer, linear)."""
    objective = objective_of(work, "hidden:mse")
    found: dict[str, nn.Linear] = objective.term_losses[0].student_projections  # type: ignore[assignment]
    return [
        (t, s, found[f"{t}-{s}"] if f"{t}-{s}" in found else nn.Identity())  # type: ignore[misc]
        for t, s in objective.terms[0].pairs
    ]


def _optimiser(work: Workload, parameters: list[Tensor]) -> tuple[Any, Any]:
    settings = recipe(work)
    optimiser = torch.optim.AdamW(
        parameters, lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
    )
    return optimiser, settings["max_grad_norm"]


def textbrewer(work: Workload, padded: bool, steps: int = 1) -> tuple[Callable[[], Any], Loss]:
    """Its GeneralDistiller with soft labels, hidden states and attention maps.

    Its soft labels lack tau^2, and its mean of attention does not divide by heads: weights do.
    """
    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig

    logging.getLogger("Distillation").setLevel(logging.ERROR)
    teacher, student = _models(work)
    linears = _projections(work)
    wide, narrow = work.teacher.hidden, work.student.hidden
    hidden = [
        {
            "layer_T": t,
            "layer_S": s,
            "feature": "hidden",
            "loss": "hidden_mse",
            "weight": 1 / len(linears),
            **({"proj": ["linear", narrow, wide]} if wide != narrow else {}),
        }
        for t, s, _ in linears
    ]
    attention = [
        {
            "layer_T": t - 1,
            "layer_S": s - 1,
            "feature": "attention",
            "loss": "attention_mse",
            "weight": 1 / len(linears) / work.student.heads,
        }
        for t, s, _ in linears
    ]
    config = DistillationConfig(
        temperature=TEMPERATURE,
        kd_loss_weight=TEMPERATURE**2,
        hard_label_weight=1,
        intermediate_matches=hidden + attention,
    )

    def adaptor(batch: dict[str, Tensor], output: Any) -> dict[str, Any]:
        return {
            "logits": (output.logits,),
            "hidden": output.hidden_states,
            "attention": output.attentions,
            "inputs_mask": batch["attention_mask"],
            "losses": (output.loss,),
        }

    folder = TemporaryDirectory()
    training = TrainingConfig(
        ckpt_frequency=0, log_dir=None, output_dir=folder.name, device=str(DEVICE)
    )
    distiller = GeneralDistiller(training, config, teacher, student, adaptor, adaptor)
    for (_, _, linear), own in zip(linears, distiller.projs, strict=False):
        if own is not None:
            own.load_state_dict(linear.state_dict())
    optimiser, norm = _optimiser(work, list(student.parameters()))
    batches = Batches(work, padded, steps)

    def train() -> None:
        with distiller:
            distiller.train(optimiser, batches, num_epochs=1, max_grad_norm=norm)
        folder.cleanup()

    def loss(batch: dict[str, Tensor]) -> Tensor:
        student.eval()
        return distiller.train_on_batch(batch, {})[0]  # type: ignore[no-any-return]

    return train, loss


def torchdistill(work: Workload, steps: int = 1) -> tuple[Callable[[], Any], Loss]:
    """Its KDLoss, and torch's mean squared error, as its configurations use it, in a plain loop.

    It knows no mask: padding counts, and only batches without any have this project's loss.
    """
    from torchdistill.losses.mid_level import KDLoss

    teacher, student = _models(work)
    linears = _projections(work)
    nn.ModuleList([linear for _, _, linear in linears]).to(DEVICE)
    soft = KDLoss("logits", "output", "logits", "output", TEMPERATURE, alpha=1, beta=1)
    parameters = [*student.parameters(), *(p for _, _, m in linears for p in m.parameters())]
    optimiser, norm = _optimiser(work, parameters)

    def loss(batch: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            taught = teacher(**batch)
        output = student(**batch)
        found = [{"logits": {"output": x.logits}} for x in (output, taught)]
        total = soft(*found, batch["labels"])
        for t, s, linear in linears:
            states = linear(output.hidden_states[s]), taught.hidden_states[t]
            maps = output.attentions[s - 1], taught.attentions[t - 1]
            total = total + (F.mse_loss(*states) + F.mse_loss(*maps)) / len(linears)
        return total  # type: ignore[no-any-return]

    def train() -> None:
        student.train()
        for batch in Batches(work, False, steps):
            loss(batch).backward()
            nn.utils.clip_grad_norm_(student.parameters(), norm)
            optimiser.step()
            optimiser.zero_grad()

    def check(batch: dict[str, Tensor]) -> Tensor:
        student.eval()
        return loss(batch)

    return train, check


def trainer(work: Workload, bf16: bool = False, steps: int = -1) -> Callable[[], Any]:
    """Plain fine-tuning of the student: Hugging Face's Trainer, fused AdamW, dynamic padding."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    settings, folder = recipe(work), TemporaryDirectory()
    arguments = TrainingArguments(
        folder.name,
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=work.batch_size,
        learning_rate=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        max_grad_norm=settings["max_grad_norm"],
        optim="adamw_torch_fused",
        bf16=bf16,
        max_steps=steps,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=DEVICE.type == "cpu",
        remove_unused_columns=False,
        dataloader_pin_memory=False,  # its batches are on the device
    )
    batches = Batches(work, padded=False)
    rows: Any = [torch.tensor([i]) for i in range(len(work.split))]
    found = Trainer(
        model=work.model(work.student),
        args=arguments,
        train_dataset=rows,
        data_collator=lambda some: batches.batch(torch.cat(some)),
    )

    found.remove_callback(PrinterCallback)

    def train() -> None:
        found.train()
        folder.cleanup()

    return train

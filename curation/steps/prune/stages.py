"""From clusters to `pruned`: neighbours, pictures that look alike, and which samples go."""

from __future__ import annotations

from curation.catalog import ALWAYS, SCORES, own_columns, tables_for
from curation.plugins import plugin_columns
from curation.steps.cluster.stages import cluster_vectors
from curation.steps.context import Context
from curation.steps.prune.copies import CopyCosines, CopySample, SampledImages
from curation.steps.prune.decide import BEST, Prune, Pruning
from curation.steps.prune.eps import MeasureEps
from curation.steps.prune.looks import LookAgain, SuspectByCosine, SuspectByHash, SuspectImages
from curation.steps.prune.neighbours import FindNeighbours
from curation.steps.prune.pairs import EPS
from curation.steps.prune.perceptual import LookAlikes
from curation.steps.prune.similarity import IDENTITY, Likeness
from curation.steps.prune.visits import Firsts, FitProbes, Visit
from curation.storage.store import Store
from schemas.budget import Budget
from schemas.config import Config
from schemas.errors import ConfigError
from schemas.settings import Prune as Settings
from schemas.stages import Stage

# Bits of 64 that hashes of copies may differ in where --perceptual does not say: where texts must be equal as
# well few pictures are compared, and a second look at them is cheap; else, and of mirrored pictures alone.
WIDE_BITS, NARROW_BITS, FLIP_BITS = 16, 8, 6


def prune_stages(context: Context) -> list[Stage]:
    """The stages from clusters to `pruned`.

    Raises:
        ConfigError: settings that do not go together.
    """
    settings = context.config.prune
    of_images = settings.key in ("joint", "image")
    by_text = settings.key != "image"
    by_hash = of_images and (settings.perceptual != "off" or settings.flip)
    by_look = by_hash or (settings.semantic and of_images)
    redundant = None if settings.redundant == "off" else settings.redundant
    _demand_sense(settings, of_images=of_images)
    # Remembered down to a fixed floor, so that another eps is only another decision.
    eps = _eps(context.config, of_images=of_images)
    floor = min(settings.min_similarity, 1 - (eps or 0), 1 - (redundant or 0))
    stages: list[Stage] = []
    if settings.semantic:
        # Not before: to know the vectors is to know the encoder, which may have to be loaded for that.
        likeness = Likeness(settings.key, cluster_vectors(context)[1], settings.exact)
        probes = FitProbes(likeness, floor, settings.probes, settings.recall)
        visits = Visit(likeness, floor)
        stages += [Firsts(likeness), probes, visits, FindNeighbours(likeness, floor, settings.neighbours)]
    if by_hash:
        wide, narrow = _radii(settings)
        within = wide if by_text else narrow
        stages.append(
            LookAlikes(within, settings.hash_bits, settings.flip, by_text, narrow if by_text else None)
        )
    pixels = context.config.images.max_pixels
    if by_hash:
        stages += [SuspectByHash(by_text), LookAgain(SuspectImages("suspects", pixels), "looks")]
    if eps is None:
        copies = CopyCosines(SampledImages(pixels), context.model(), context.config.embed.batch)
        text_eps = settings.text_eps if by_text else None
        stages += [CopySample(), copies, MeasureEps(floor, text_eps, by_hash)]
    if settings.semantic and of_images:
        stages.append(SuspectByCosine(by_text, eps, settings.text_eps, by_hash))
        stages.append(LookAgain(SuspectImages("near_suspects", pixels), "near_looks"))
    how = Pruning(
        identity=IDENTITY[settings.key][settings.exact],
        by_bytes=IDENTITY[settings.key]["bytes"],
        by_text=by_text,
        eps=eps,
        text_eps=settings.text_eps,
        redundant=redundant,
        linkage=settings.linkage,
        keep=settings.keep,
        to=settings.to,
        semantic=settings.semantic,
        by_hash=by_hash,
        by_look=by_look,
        unflipped=settings.perceptual != "off",
        bits=settings.hash_bits,
        most=settings.neighbours,
        floor=floor,
        seed=context.config.run.seed,
        tables=_tables_of(settings.keep, context),
    )
    return [*stages, Prune(how)]


def _eps(config: Config, *, of_images: bool) -> float | None:
    """The eps of near-duplicates; None where it is to be measured, which pictures and an encoder allow."""
    if config.prune.eps != "auto":
        return config.prune.eps
    return None if config.prune.semantic and of_images else EPS


def _radii(settings: Settings) -> tuple[int, int]:
    """Bits of hashes that two images may differ in: with equal texts, and where nothing else tells."""
    if isinstance(settings.perceptual, int):
        return settings.perceptual, settings.perceptual
    wide, narrow = (FLIP_BITS, FLIP_BITS) if settings.perceptual == "off" else (WIDE_BITS, NARROW_BITS)
    return wide * settings.hash_bits // 64, narrow * settings.hash_bits // 64


def _demand_sense(settings: Settings, *, of_images: bool) -> None:
    if settings.flip and not of_images:
        raise ConfigError(f"--flip compares images; --key {settings.key} does not")
    if settings.redundant != "off" and not settings.semantic:
        raise ConfigError("--redundant needs to know how similar samples are; leave out --no-semantic")
    if settings.to is not None and not settings.semantic:
        raise ConfigError("--prune-to needs to know how similar samples are; leave out --no-semantic")
    if settings.to is not None and Budget.parse(settings.to).is_cost:
        raise ConfigError(f"--prune-to keeps a number of samples or a share of them, not {settings.to}")


def _tables_of(keep: str, context: Context) -> tuple[str, ...]:
    """The tables that a rule looks at, besides `checked`: no more, as each must be there first."""
    if keep in ("hard", "easy"):
        return ("clusters",)
    if not keep.startswith(BEST):
        return ()
    name = keep.removeprefix(BEST)
    plugged = {
        **own_columns(Store(context.root)),
        **plugin_columns(context.config.score.plugins),
    }
    if name in plugged:
        return (plugged[name],)
    held = tuple(table for table in (*ALWAYS, "clusters") if name in SCORES[table].names)
    return held or tables_for([name])


def named_columns(config: Config) -> list[str]:
    """The columns of the score table that the settings name."""
    keep = config.prune.keep
    return [keep.removeprefix(BEST)] if keep.startswith(BEST) else []

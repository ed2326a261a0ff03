"""The commands in the order of `curate --help`: each parses flags, calls one method, shows one result."""

from jobs.commands.chain import cluster, demo, embed, ingest, init, prune, run, score, select
from jobs.commands.compare import compare
from jobs.commands.completion import completion
from jobs.commands.doctor import doctor
from jobs.commands.elsewhere import submit
from jobs.commands.labels import annotate, train_scorer
from jobs.commands.looking import clusters, decontaminate, explain, gc, groups, models, status, verify
from jobs.commands.proof import mix, proof
from jobs.commands.reporting import report
from jobs.commands.scores import scores
from jobs.commands.searching import explore, search
from jobs.commands.validate import validate
from jobs.commands.writing import convert, export, table

COMMANDS = (
    demo, init, ingest, embed, score, cluster, prune, select, export, run,
    status, verify, gc, explain, search, explore, groups, clusters, compare, proof, mix, report, table,
    scores, models, doctor, completion,
    convert, validate, decontaminate, annotate, train_scorer,
    submit,
)  # fmt: skip

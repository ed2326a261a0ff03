"""Filters, lists, bounds and several budgets: what they leave, and what cannot be met."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.generate.pool import write_pool
from curation.selectors import selector
from curation.steps.select.bounds import Limit, limits, select_within
from curation.steps.select.budgeting import Wish, choose, fill_within
from curation.steps.select.filters import Clause, clauses, first_failed
from curation.steps.select.select import Select
from curation.storage.files import locate
from curation.storage.store import Store
from curation.workspace import Workspace
from schemas.bounds import Bound
from schemas.budget import Budget, Purse, Shared
from schemas.errors import BudgetError, ConfigError, ExportError
from tests.test_selection import ALL_SPECS, table

if TYPE_CHECKING:
    from pathlib import Path

# --- budgets ---------------------------------------------------------------------------------------------


def test_a_column_is_a_cost():
    budget = Budget.parse("n_words=1.5k")
    expected = (Fraction(1500), "column", "n_words", True)
    assert (budget.value, budget.unit, budget.column, budget.is_cost) == expected
    assert Budget.parse(str(budget)) == budget
    for wrong in ("n_words=", "=5", "n_words=x", "n words=5", "n_words=0"):
        with pytest.raises(BudgetError):
            Budget.parse(wrong)


def test_several_budgets_are_read_in_order():
    assert [str(budget) for budget in Budget.parse_all("10%, 0.3,500")] == ["10%", "30%", "500"]
    assert Budget.parse_all("30%") == (Budget.parse("30%"),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,500", "write 1500 if it is one"),
        ("10%,10%", "names a budget twice"),
        ("10%,5Mtok", "of one unit"),
        ("10%,half", "is no budget"),
    ],
)
def test_budgets_that_do_not_go_together_are_refused(text, sentence):
    with pytest.raises(BudgetError, match=sentence):
        Budget.parse_all(text)


# --- bounds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "value", "samples"),
    [
        ("source:ocr=2000", "source", "ocr", 2000),
        ("source:a:b=c=7", "source", "a:b=c", 7),
        ("cluster:*=5%", "cluster", "*", 51),
        ("style:yes/no=0.05", "style", "yes/no", 51),
        ("cluster:3=0", "cluster", "3", 0),
    ],
)
def test_a_bound_is_read_as_it_is_written(text, column, value, samples):
    bound = Bound.parse("at-least", text)
    assert (bound.column, bound.value, bound.samples(1001)) == (column, value, samples)
    assert Bound.parse("at-least", str(bound).removeprefix("--at-least ")) == bound


def test_a_share_is_rounded_against_the_one_who_asks():
    assert Bound.parse("at-least", "source:a=10%").samples(11) == 2
    assert Bound.parse("at-most", "source:a=10%").samples(11) == 1


@pytest.mark.parametrize(
    "text", ["", "source", "source:=5", "source:ocr", "source:ocr=", "source:ocr=5Mtok", "a b:c=1"]
)
def test_what_is_no_bound_shows_the_form(text):
    with pytest.raises(BudgetError, match="source:coco=2000"):
        Bound.parse("at-most", text)


def meets(rows, picks, bounds):
    return all(limit.least <= limit.rows[picks].sum() <= limit.most for limit in bounds)


@pytest.mark.parametrize("spec", ALL_SPECS)
def test_every_selector_stays_inside_bounds(spec):
    rows = table()
    texts: list[tuple[Literal["at-least", "at-most"], str]] = [
        ("at-least", "source:b=12"),
        ("at-most", "source:a=20%"),
        ("at-most", "cluster:1=3"),
        ("at-least", "style:coordinate=4"),
    ]
    bounds = limits(rows, [Bound.parse(*text) for text in texts], 40)
    picks = select_within(selector(spec), rows, 40, 2, bounds).order
    assert len(picks) == 40 == len(set(picks.tolist()))
    assert meets(rows, picks, bounds)
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1)
    again = select_within(
        selector(spec), shuffled, 40, 2, limits(shuffled, [Bound.parse(*t) for t in texts], 40)
    )
    assert shuffled["uid"].gather(again.order).to_list() == rows["uid"].gather(picks).to_list()


def test_picks_that_meet_the_bounds_stay_as_they_are():
    rows = table()
    free = selector("random").select(rows, 40, 0)
    bounds = limits(rows, [Bound.parse("at-most", "source:a=90%")], 40)
    assert select_within(selector("random"), rows, 40, 0, bounds).order.tolist() == free.tolist()


def test_groups_that_lose_lose_their_last_picks_and_others_stay():
    rows = table()
    free = selector("top:alignment").select(rows, 40, 0)
    limit = Bound.parse("at-most", "source:a=5")
    picks = select_within(selector("top:alignment"), rows, 40, 0, limits(rows, [limit], 40)).order
    of_a = (rows["source"] == "a").fill_null(False).to_numpy()
    assert picks[of_a[picks]].tolist() == free[of_a[free]][:5].tolist()
    assert [row for row in free.tolist() if not of_a[row]] == [
        row for row in picks.tolist() if not of_a[row]
    ][: (~of_a[free]).sum()]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_bounds_are_met_or_the_error_names_a_set_that_cannot_be(data):
    rows = table(24)
    n = data.draw(st.integers(0, 24))
    masks = data.draw(st.lists(st.lists(st.booleans(), min_size=24, max_size=24), max_size=3))
    bounds = []
    for number, mask in enumerate(masks):
        low = data.draw(st.integers(0, 12))
        high = data.draw(st.integers(low, 24))
        bounds.append(Limit(f"--bound-{number}", np.array(mask), low, high))
    possible = feasible(bounds, n, 24)
    if possible:
        picks = select_within(selector("random"), rows, n, 1, bounds).order
        assert len(set(picks.tolist())) == n
        assert meets(rows, picks, bounds)
        return
    with pytest.raises(BudgetError) as caught:
        select_within(selector("random"), rows, n, 1, bounds)
    named = [limit for limit in bounds if limit.text in str(caught.value)]
    assert named
    assert not feasible(named, n, 24)


def feasible(bounds, n, size):
    """By trying every number of every cell."""
    cells: dict[tuple[bool, ...], int] = {}
    for row in range(size):
        pattern = tuple(bool(limit.rows[row]) for limit in bounds)
        cells[pattern] = cells.get(pattern, 0) + 1
    patterns = list(cells)

    def search(at, left, counts):
        if any(count > limit.most for count, limit in zip(counts, bounds, strict=True)):
            return False
        if at == len(patterns):
            return left == 0 and all(c >= limit.least for c, limit in zip(counts, bounds, strict=True))
        if left > sum(cells[p] for p in patterns[at:]):
            return False
        for taken in range(min(left, cells[patterns[at]]) + 1):
            more = [c + taken * inside for c, inside in zip(counts, patterns[at], strict=True)]
            if search(at + 1, left - taken, more):
                return True
        return False

    return search(0, n, [0] * len(bounds))


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (
            [("at-least", "source:b=50")],
            r"--at-least source:b=50 cannot be met: there are only 3\d candidates",
        ),
        (
            [("at-least", "source:b=25"), ("at-least", "source:c=20")],
            "cannot meet --at-least source:b=25, --at-least source:c=20",
        ),
        (
            [("at-most", "source:*=3"), ("at-most", "cluster:0=90%")],
            "--at-most source:a=3, --at-most source:b=3",
        ),
    ],
)
def test_bounds_that_cannot_be_met_are_named(texts, sentence):
    rows = table()
    with pytest.raises(BudgetError, match=sentence):
        select_within(selector("random"), rows, 40, 0, limits(rows, [Bound.parse(*t) for t in texts], 40))


def test_a_value_that_does_not_occur_is_named_with_those_that_do():
    with pytest.raises(ConfigError, match="no candidate has source 'ocr'; there are a, b, c"):
        limits(table(), [Bound.parse("at-least", "source:ocr=5")], 40)
    with pytest.raises(ConfigError, match="no style 'rhyme'; there are multi_choice"):
        limits(table(), [Bound.parse("at-least", "style:rhyme=5")], 40)


# --- filters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "parts"),
    [
        ("a > 1 and b < 2 AND c = 'x and y'", ["a > 1", "b < 2", "c = 'x and y'"]),
        ("a between 1 and 2 and b > 0", ["a between 1 and 2", "b > 0"]),
        ("(a > 1 and b < 2) and c > 0", ["(a > 1 and b < 2)", "c > 0"]),
        ("a > 1 and b < 2 or c > 0", ["a > 1 and b < 2 or c > 0"]),
        ("a > 1", ["a > 1"]),
    ],
)
def test_conditions_are_cut_at_the_ands_that_hold_for_all(condition, parts):
    assert [clause.text for clause in clauses([condition])] == parts


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.sampled_from(["x", "y", None])),
        min_size=1,
        max_size=20,
    )
)
def test_the_clauses_together_are_the_condition(values):
    rows = pl.DataFrame(values, schema={"a": pl.Int64, "b": pl.Int64, "s": pl.String}, orient="row")
    for condition in (
        "a > 0 and b between -1 and 1 and s = 'x'",
        "a > 0 and b < 0 or s is null and a < 2",
        "not (a > 1 and b > 1) and a < 3",
    ):
        whole = rows.select(pl.sql_expr(condition))[:, 0].fill_null(False)
        assert (first_failed(rows, clauses([condition])) == -1).tolist() == whole.to_list()


def test_the_first_clause_that_fails_is_named_and_null_is_not_true():
    rows = pl.DataFrame({"a": [1, 5, None, 5], "b": [9, 9, 1, 1]})
    assert first_failed(rows, clauses(["a > 2", "b > 5"])).tolist() == [0, -1, 0, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a >", "is no condition"),
        ("1 = 1", "names no column"),
        ("a + 1", "no condition that each sample meets or not"),
        ("sum(a) > 3", "no condition that each sample meets or not"),
        ("a > 'x'", "cannot be computed"),
        ("nonsense(a)", "is no condition"),
    ],
)
def test_what_is_no_condition_is_refused(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        first_failed(pl.DataFrame({"a": [1, 2]}), clauses([text]))


def test_a_clause_reads_its_columns_once():
    assert Clause("a > 1 or a < b").columns == ("a", "b")


# --- the stage -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bounds")
    write_pool(folder, 160, seed=5)
    Workspace.init(
        folder / "work", {"demo": folder / "pool.json"}, images=[folder], model="builtin:tiny"
    ).prune()
    return folder / "work"


def select(pool, **settings_):
    workspace = Workspace(pool, {f"select.{name}": value for name, value in settings_.items()})
    counts = workspace.run("select")
    return counts, workspace.store.read("selection").to_pylist()


def test_a_least_of_a_kind_is_paid_for_by_what_fits():
    rows = np.arange(12)
    kind = Limit("--at-least source:a=1", np.isin(rows, [0, 11]), 1, len(rows))
    costs = np.array([1000, *[1] * 10, 1])

    def bounded(limit, kinds, *, by_cost=False):
        found = fill_within(rows, 0, kinds, lambda order: Purse(costs[order], limit), by_cost=by_cost)
        return found.tolist()

    assert bounded(10, [kind]) == [11, *range(1, 10)]
    # What does not fit takes no place of the most.
    assert bounded(10, [replace(kind, least=0, most=1)]) == list(range(1, 11))
    assert bounded(12, [replace(kind, least=0, most=1)]) == list(range(1, 12))
    both = replace(kind, least=2)
    costs[:] = [9, *[1] * 10, 5]
    costs[3] = 5
    some = replace(both, rows=np.isin(rows, [0, 3, 11]))
    assert bounded(10, [some])[:1] == [0]
    assert bounded(10, [some], by_cost=True) == [3, 11]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_costs_and_bounds_hold_at_once(data):
    n = data.draw(st.integers(1, 12))
    costs = np.array(data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)))
    kind = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    limit, least, most = (data.draw(st.integers(0, high)) for high in (30, 4, 4))
    bounds = [Limit("most", kind, 0, most), Limit("least", ~kind, least, n)]
    order = np.array(data.draw(st.permutations(range(n))))
    for by_cost in (False, True):
        taken = fill_within(order, 0, bounds, lambda own: Purse(costs[own], limit), by_cost=by_cost)
        assert len({*taken.tolist()}) == len(taken)
        left = limit - int(costs[taken].sum())
        assert left >= 0
        assert kind[taken].sum() <= most
        rest = np.setdiff1d(order, taken)
        allowed = rest if kind[taken].sum() < most else rest[~kind[rest]]
        assert (costs[allowed] > left).all()
    cheapest = np.sort(costs[~kind])[:least]
    if len(cheapest) == least and cheapest.sum() <= limit:
        assert (~kind[taken]).sum() >= least


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_by_cost_no_row_without_a_value_takes_the_place_of_one_with_a_value(data):
    n = data.draw(st.integers(1, 10))
    values = data.draw(st.lists(st.none() | st.integers(0, 3), min_size=n, max_size=n))
    costs = data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    ids = [bytes([row]) * 16 for row in range(n)]
    table = pl.DataFrame(
        {
            "uid": ids,
            "content_hash": ids,
            "listed": [False] * n,
            "n_tokens": costs,
            "score": pl.Series(values, dtype=pl.Float64),
        }
    )
    budget = Budget.parse(f"{data.draw(st.integers(1, 30))}tok")
    wish = Wish(selector("top:score"), (budget,), (), 0)
    taken = choose(wish, Store(locate("nowhere")), table, n).decision.order.tolist()
    valued = [row for row in taken if values[row] is not None]
    assert taken[: len(valued)] == valued
    left = int(budget.value) - sum(costs[row] for row in valued)
    assert all(costs[row] > left for row in range(n) if values[row] is not None and row not in valued)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_row_that_did_not_fit_never_fits_later_though_others_pay_for_what_it_shares(data):
    n, n_things = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 4))
    shown = [data.draw(st.lists(st.integers(0, n_things - 1), unique=True, max_size=3)) for _ in range(n)]
    sizes = np.array(data.draw(st.lists(st.integers(0, 9), min_size=n_things, max_size=n_things)))
    things = np.array([thing for row in shown for thing in row], np.int64)
    ends = np.cumsum([0, *map(len, shown)])
    limit = data.draw(st.integers(0, 25))

    def purse(order):
        assert order.tolist() == list(range(n))
        return Purse(np.zeros(n, np.int64), limit, Shared(ends, things, sizes))

    taken = fill_within(np.arange(n), 0, [], purse, by_cost=False).tolist()
    # As if the rows behind were not there: what they get is what is left over.
    for k in range(n):
        paid = {thing for row in taken if row < k for thing in shown[row]}
        cost = sum(int(sizes[thing]) for thing in {*shown[k]} - paid)
        assert (k in taken) == (cost <= limit - sum(int(sizes[thing]) for thing in paid))


def test_a_strategy_without_a_column_says_which_it_takes(pool):
    counts, rows = select(pool, budget="20%", strategy="top")
    assert counts["signals"] == ["synthetic_quality"]
    kept = [row for row in rows if row["keep"]]
    assert {row["scorer"] for row in kept} == {"synthetic_quality"}
    assert counts["n_without_score"] == 0
    named, same = select(pool, budget="20%", strategy="top:synthetic_quality")
    assert named["signals"] == ["synthetic_quality"]
    assert [row["rank"] for row in same] == [row["rank"] for row in rows]


def test_filters_are_counted_clause_by_clause(pool):
    counts, rows = select(pool, budget="20%", where=("n_answer_words > 3 and min_side >= 100",))
    assert counts["n_filtered"] == sum(counts["filtered"].values()) > 0
    assert set(counts["filtered"]) <= {"n_answer_words > 3", "min_side >= 100"}
    assert (
        counts["n_candidates"]
        == counts["n_read"] - counts["n_quarantined"] - counts["n_pruned"] - counts["n_filtered"]
    )
    for row in rows:
        assert (row["clause"] is not None) == (row["reason"] == "filtered")


def test_every_pick_says_what_decided(pool):
    counts, rows = select(pool, budget="20%", strategy="adapt:alignment,min_entropy", where=())
    kept = [row for row in rows if row["keep"]]
    assert all(row["stratum"] and row["scorer"] in ("alignment", "min_entropy") for row in kept)
    assert sum(counts["scorers"].values()) == counts["n_clusters"]
    strata = Workspace(pool).store.read("strata").to_pylist()
    assert sum(row["n_selected"] for row in strata) == counts["n_selected"]
    assert sum(row["n_candidates"] for row in strata) == counts["n_candidates"]


def test_several_budgets_are_nested_and_their_picks_come_in_order(pool):
    for strategy in ("adapt", "facility", "coincide"):
        counts, rows = select(pool, budget="10%,40%,25%", strategy=strategy)
        n = counts["n_read"] - counts["n_quarantined"]
        assert counts["nested"] == {"10%": n // 10, "25%": n // 4, "40%": int(n * 0.4)}
        kept = sorted((row for row in rows if row["keep"]), key=lambda row: row["rank"])
        assert [row["rank"] for row in kept] == list(range(int(n * 0.4)))
        assert [row["tier"] for row in kept] == sorted(row["tier"] for row in kept)
    _, alone = select(pool, budget="10%", strategy="adapt")
    _, nested = select(pool, budget="10%,40%", strategy="adapt")
    assert {row["uid"] for row in alone if row["keep"]} == {row["uid"] for row in nested if row["tier"] == 0}


def test_nested_costs_are_each_kept(pool):
    counts, rows = select(pool, budget="2ktok,500tok", strategy="random")
    tokens = Workspace(pool).store.read("checked", ["n_tokens"])["n_tokens"].to_pylist()
    spent = [
        sum(t for t, row in zip(tokens, rows, strict=True) if row["keep"] and row["tier"] <= tier)
        for tier in (0, 1)
    ]
    assert spent[0] <= 500 < spent[1] <= 2000
    assert len(counts["nested"]) == 2


def test_lists_are_obeyed_and_part_of_the_key(pool, tmp_path):
    _, before = select(pool, budget="10", strategy="random")
    candidates = [row["uid"].hex() for row in before if row["reason"] == "over_budget"]
    keep, drop = tmp_path / "keep.txt", tmp_path / "drop.txt"
    keep.write_text("# mine\n" + "\n".join(candidates[:3]) + "\n")
    drop.write_text("\n".join(row["uid"].hex() for row in before if row["keep"]))
    counts, rows = select(pool, budget="10", strategy="random", must_keep=str(keep), must_drop=str(drop))
    assert counts["n_selected"] == 10
    by_uid = {row["uid"].hex(): row for row in rows}
    assert [by_uid[uid]["rank"] for uid in sorted(candidates[:3], key=lambda uid: by_uid[uid]["rank"])] == [
        0,
        1,
        2,
    ]
    assert all(by_uid[row["uid"].hex()]["reason"] == "dropped" for row in before if row["keep"])
    again, _ = select(pool, budget="10", strategy="random", must_keep=str(keep), must_drop=str(drop))
    assert again["computed"] == {}
    keep.write_text("\n".join(candidates[3:5]))
    other, _ = select(pool, budget="10", strategy="random", must_keep=str(keep), must_drop=str(drop))
    assert other["computed"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("no-such-id", "names 'no-such-id', which no sample"), (None, "cannot be read")],
)
def test_a_wrong_list_is_named(pool, tmp_path, text, sentence):
    path = tmp_path / "list.txt"
    if text:
        path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        select(pool, budget="10", must_keep=str(path))


def test_more_to_keep_than_the_budget_is_an_error(pool, tmp_path):
    _, rows = select(pool, budget="10", strategy="random")
    (tmp_path / "keep").write_text("\n".join(row["uid"].hex() for row in rows if row["keep"]))
    with pytest.raises(BudgetError, match="--must-keep names 10 samples, more than the budget of 5"):
        select(pool, budget="5", must_keep=str(tmp_path / "keep"))


def test_an_export_does_not_forget_the_lists_that_a_selection_was_made_with(pool, tmp_path):
    _, rows = select(pool, budget="10", strategy="random")
    (tmp_path / "keep").write_text(
        rows[0]["uid"].hex() if rows[0]["keep"] else next(r["uid"].hex() for r in rows if r["keep"])
    )
    select(pool, budget="10", strategy="random", must_keep=str(tmp_path / "keep"))
    assert Workspace(pool).export(tmp_path / "out", format="llava")["n_kept"] == 10
    with pytest.raises(ExportError, match="made with --must-keep"):
        Workspace(pool, {"select.budget": "12"}).export(tmp_path / "out2", format="llava")


def test_a_cost_budget_takes_bounds_in_numbers(pool):
    counts, rows = select(
        pool, budget="1ktok", strategy="random", at_most=("cluster:*=2",), at_least=("source:charts=2",)
    )
    clusters = [row["cluster"] for row in rows if row["keep"]]
    assert max(clusters.count(cluster) for cluster in clusters) <= 2
    sources = Workspace(pool).store.read("checked", ["source"])["source"].to_pylist()
    assert sum(row["keep"] and source == "charts" for row, source in zip(rows, sources, strict=True)) >= 2
    assert counts["n_selected"] > 2
    with pytest.raises(BudgetError, match="is a share of a number"):
        select(pool, budget="1ktok", strategy="random", at_most=("cluster:*=2%",))


def test_the_summary_is_json(pool):
    counts, _ = select(pool, budget="10%,30%", strategy="adapt", where=("n_words > 2",))
    assert json.loads(json.dumps(counts))["nested"]
    assert re.fullmatch(r"\d+%", next(iter(counts["nested"])))


@pytest.mark.slow
def test_what_resembles_a_target_is_chosen_and_the_target_is_not(tmp_path):
    write_pool(tmp_path / "a", 60, seed=1)
    write_pool(tmp_path / "b", 24, seed=2)
    datasets = {name: tmp_path / name / "pool.json" for name in "ab"}
    Workspace.init(tmp_path / "w", datasets, images=[tmp_path / "a", tmp_path / "b"], model="builtin:tiny")
    counts, rows = select(tmp_path / "w", budget="10", target="b")
    assert counts["strategy"] == "less:b"
    of = Workspace(tmp_path / "w").store.read("checked", ["dataset", "error"]).to_pylist()
    assert {fact["dataset"] for fact, row in zip(of, rows, strict=True) if row["keep"]} == {"a"}
    gone = [
        row["reason"]
        for fact, row in zip(of, rows, strict=True)
        if fact["dataset"] == "b" and not fact["error"]
    ]
    assert set(gone) == {"target"}
    kept = [row["score"] for row in rows if row["keep"]]
    left = [row["score"] for row in rows if row["reason"] == "over_budget"]
    assert min(kept) >= max(left)
    with pytest.raises(ConfigError, match="no readable dataset 'c' to aim at; the pool has a, b"):
        select(tmp_path / "w", budget="10", target="c")
    with pytest.raises(ConfigError, match="needs the table gradients"):
        select(tmp_path / "w", budget="10", strategy="less:b@gradient")


def test_other_default_filters_are_another_selection(monkeypatch):
    stage = Select("30%", "random", 0, (), where=("n_tokens < 9",), at_least=("source:a=1",))
    params = stage.params()
    assert Select.again(params) == stage
    assert Select.again({**params, "of a later version": 1}).params() == params
    monkeypatch.setattr("curation.steps.select.select.DEFAULTS", ("n_tokens > 0",))
    assert stage.params() != params
    assert replace(stage, default_filters=False).params() == {
        **params,
        "default_filters": False,
        "filters": [],
    }


def test_dbp_goes_by_the_centres_of_clusters_that_were_cut(pool):
    settings_ = {"cluster.k": 3, "cluster.points": 4, "cluster.max_size": 12}
    workspace = Workspace(pool, {**settings_, "select.strategy": "dbp", "select.budget": "20%"})
    counts = workspace.run("select")
    assert counts["n_clusters"] > workspace.store.manifest("centroids").rows
    assert counts["n_selected"] > 0


def test_a_column_called_like_a_word_of_sql_is_a_column(pool):
    counts, rows = select(pool, budget="100%", where=("cluster = 1 and not (Cluster is null)",))
    assert {row["cluster"] for row in rows if row["keep"]} == {1}
    assert set(counts["filtered"]) >= {"cluster = 1"}


def test_a_budget_that_is_a_cost_says_what_was_used(pool):
    counts, rows = select(pool, budget="2ktok", strategy="random")
    tokens = Workspace(pool).store.read("checked", ["n_tokens"])["n_tokens"].to_pylist()
    assert counts["used"] == sum(n for n, row in zip(tokens, rows, strict=True) if row["keep"]) <= 2000
    counts, rows = select(pool, budget="300kB", strategy="random")
    shown = Workspace(pool).store.read("samples", ["images"])["images"].to_pylist()
    kept = [refs for refs, row in zip(shown, rows, strict=True) if row["keep"]]
    sizes = {ref["sha256"]: ref["n_bytes"] for refs in kept for ref in refs}
    assert counts["used"] == sum(sizes.values()) <= 300_000
    assert select(pool, budget="10%")[0]["used"] is None


def test_numbers_are_budgets_in_python_and_toml_too(pool):
    assert select(pool, budget=0.25)[0]["n_selected"] == select(pool, budget="25%")[0]["n_selected"]
    assert select(pool, budget=7)[0]["n_selected"] == 7

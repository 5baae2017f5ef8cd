"""Who wins: the list that `pytest_txprof.options.LAYERS` is, top down."""

from __future__ import annotations

import pytest
from plugin_project import Project, failed
from pytest_txprof.options import LAYERS, OPTIONS

BAD = """
import app
import pytest

{marker}
def test_bad(session):
    app.process(session)
"""
CHOOSE = {
    "marker": "@pytest.mark.txprof(mode='{mode}')",
    "command line": "--txprof-mode={mode}",
    "ini": "txprof_mode = {mode}",
    "pyproject": "[tool.txprof.pytest]\nmode = '{mode}'\n",
}


def chosen(project: Project, modes: dict[str, str]) -> pytest.RunResult:
    """A run in which these layers choose a mode."""
    text = {layer: CHOOSE[layer].format(mode=mode) for layer, mode in modes.items()}
    project.write(test_it=BAD.format(marker=text.get("marker", "")))
    project.ini("txprof = true", text.get("ini", ""))
    (project.folder / "pyproject.toml").write_text(text.get("pyproject", ""))
    return project.run_here("-q", *[text[layer] for layer in text if layer == "command line"])


def test_the_layers_are_these() -> None:
    assert LAYERS == ("marker", "command line", "ini", "pyproject", "default")


@pytest.mark.parametrize("layer", LAYERS[:-1])
def test_each_layer_wins_over_those_below(project: Project, layer: str) -> None:
    below = LAYERS[LAYERS.index(layer) + 1 : -1]
    result = chosen(project, {layer: "warn", **dict.fromkeys(below, "fail")})
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*TransactionHygieneWarning: io-in-transaction app.py:*"])


def test_the_default_is_to_fail(project: Project) -> None:
    chosen(project, {}).assert_outcomes(failed=1)


def test_the_closest_marker_wins_and_each_test_has_its_own(project: Project) -> None:
    project.write(
        test_it="""
        import app
        import pytest

        pytestmark = pytest.mark.txprof(mode="warn")

        @pytest.mark.txprof
        def test_warns(session):
            app.process(session)

        @pytest.mark.txprof(mode="report")
        class TestReports:
            def test_reports(self, session):
                app.process(session)

            @pytest.mark.txprof(mode="fail")
            def test_fails(self, session):
                app.process(session)

            @pytest.mark.txprof(mode="fail", rules="n-plus-one")
            def test_other_rules(self, session):
                app.process(session)

            @pytest.mark.txprof(mode="fail", rules=["io-in-transaction", "n-plus-one"])
            def test_several(self, session):
                app.asks_often(session)

            @pytest.mark.txprof(mode="fail", rules="all")
            def test_all(self, session):
                app.process(session)

            @pytest.mark.txprof_allow("io-in-transaction", "n-plus-one", reason="on purpose")
            @pytest.mark.txprof(mode="fail")
            def test_allowed(self, session):
                app.process(session)
        """
    )
    result = project.run_here("-q")  # the markers alone ask for it
    assert sorted(failed(result)) == ["test_all", "test_fails", "test_several"]
    result.assert_outcomes(failed=3, passed=4, warnings=1)
    result.stdout.fnmatch_lines(
        ["*suppressed: 1 by @pytest.mark.txprof_allow: on purpose", "*io-in-transaction app.py:*"]
    )


WRONG = [
    ("--txprof-mode=loud", "", "", "--txprof-mode must be one of fail, warn, report, not 'loud'"),
    ("--txprof-rules=n-plus-on", "", "", "did you mean 'n-plus-one'"),
    ("-q", "txprof_mode = loud", "", "txprof_mode must be one of fail, warn, report, not 'loud'"),
    ("-q", "", "mode = 1", "mode of [[]tool.txprof.pytest] must be one of"),
    ("-q", "", "modes = 'warn'", "unknown 'modes'; known are mode, rules,"),
    ("-q", "", "rules = [1]", "rules of [[]tool.txprof.pytest] must be names with commas"),
    ("--txprof-update-baseline", "", "", "needs --txprof-baseline FILE"),
    ("--txprof-report=out.xyz", "", "", "the suffix tells the format"),
]


@pytest.mark.parametrize(("argument", "ini", "toml", "says"), WRONG)
def test_bad_input_is_told_in_a_line(
    project: Project, argument: str, ini: str, toml: str, says: str
) -> None:
    project.ini("txprof = true", ini)
    (project.folder / "pyproject.toml").write_text(f"[tool.txprof.pytest]\n{toml}\n")
    result = project.run_here(argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{says}*"])


@pytest.mark.parametrize(
    ("value", "name", "says"),
    [
        ("loud", "mode", "must be one of fail, warn, report, not 'loud'"),
        ("n-plus-on", "rules", "unknown rule 'n-plus-on' .did you mean 'n-plus-one'"),
        ([1], "rules", "must be names with commas between, or a list of them"),
        ("log", "on_finding", "must be one of fail, raise"),
        ("perhaps", "strict_baseline", "must be true or false, not 'perhaps'"),
        (1, "save", "must be a path"),
    ],
)
def test_each_value_is_checked(value: object, name: str, says: str) -> None:
    (option,) = [option for option in OPTIONS if option.name == name]
    with pytest.raises((TypeError, ValueError), match=says):
        option.parse(value)


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ("txprof_allow('n-plus-one')", "needs a reason"),
        ("txprof_allow('n-plus-on', reason='x')", "did you mean 'n-plus-one'"),
        ("txprof(modes='warn')", "unknown 'modes'; known are mode, rules, on_finding, lines"),
        ("max_queries('3')", "takes one number from 0 on, not '3'"),
    ],
)
def test_wrong_markers_are_told_at_collection(project: Project, marker: str, says: str) -> None:
    project.write(test_it=f"import pytest\n@pytest.mark.{marker}\ndef test_it(): pass\n")
    result = project.run_here("--txprof")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.startswith("ERROR")]
    assert says in line
    assert "test_it.py::test_it" in line

"""Renders a chart with Helm's own engine: a list of jobs on standard input, a list of results on standard output."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import helm_python


def result(chart, job):
    try:
        values = helm_python.values_from_yaml(job["values"])
        texts = chart.render(values, name="gate", namespace=job["namespace"])
        return {name.rpartition("/")[2]: text for name, text in texts.items()}
    except helm_python.HelmError as error:
        return {"error": str(error)}


def without_schema(chart, jobs):
    """The results as with --skip-schema-validation, which the Python package does not have."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, Path(chart).name)
        shutil.copytree(chart, copy)
        (copy / "values.schema.json").unlink()
        with helm_python.Chart.load(copy) as loaded:
            return [result(loaded, job) for job in jobs]


def main():
    asked = json.load(sys.stdin)
    with helm_python.Chart.load(asked["chart"]) as chart:
        results = [result(chart, job) for job in asked["jobs"]]
    unchecked = without_schema(asked["chart"], asked["jobs"])
    first = asked["jobs"][0]
    values = helm_python.values_from_yaml(first["values"])
    lint = helm_python.lint(asked["chart"], values, namespace=first["namespace"], strict=True)
    json.dump({"results": results, "unchecked": unchecked, "lint": lint}, sys.stdout)


main()

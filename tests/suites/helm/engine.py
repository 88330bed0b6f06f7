"""Renders a chart with Helm's own engine: a list of jobs on standard input, a list of results on standard output."""

import json
import sys

import helm_python


def result(chart, job):
    try:
        values = helm_python.values_from_yaml(job["values"])
        texts = chart.render(values, name="gate", namespace=job["namespace"])
        return {name.rpartition("/")[2]: text for name, text in texts.items()}
    except helm_python.HelmError as error:
        return {"error": str(error)}


def main():
    asked = json.load(sys.stdin)
    with helm_python.Chart.load(asked["chart"]) as chart:
        results = [result(chart, job) for job in asked["jobs"]]
    lint = helm_python.lint(asked["chart"], helm_python.values_from_yaml(asked["jobs"][0]["values"]), strict=True)
    json.dump({"results": results, "lint": lint}, sys.stdout)


main()

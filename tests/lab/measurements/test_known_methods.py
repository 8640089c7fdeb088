"""What is read off the sources of measures and probes agrees with the registries."""

from satlab.flatness import flatness_measures
from satlab.lab.declared import declared_in
from satlab.lab.measurements import known_methods
from satlab.lab.measurements.known_methods import (
    estimates_gauss_newton,
    is_flatness_measure,
    probe_names,
    settings_used,
)
from satlab.probes import is_model_probe, reads_table
from satlab.probes import probe_names as registered_probes
from satlab.registry import settings_of


def read_off_sources(monkeypatch):
    monkeypatch.setattr(known_methods, "_may_read", lambda module: True)


def test_measures_are_those_of_the_registry(monkeypatch):
    read_off_sources(monkeypatch)
    assert declared_in("flatness.estimators").keys() == set(flatness_measures)
    for name, entry in flatness_measures.items():
        assert is_flatness_measure(name)
        assert estimates_gauss_newton(name) == entry.gauss_newton
        own = [setting.name for setting in settings_of(entry)]
        given = dict.fromkeys([*own, "contexts", "not_a_setting"])
        assert [*settings_used(name, given)] == [*own, "contexts"]
    assert any(map(estimates_gauss_newton, flatness_measures))


def test_probes_are_those_of_the_registry(monkeypatch):
    read_off_sources(monkeypatch)
    assert probe_names() == registered_probes()
    assert {name: known_methods.is_model_probe(name) for name in probe_names()} == {
        name: is_model_probe(name) for name in registered_probes()
    }
    assert {name: known_methods.reads_table(name) for name in probe_names()} == {
        name: reads_table(name) for name in registered_probes()
    }
    assert not known_methods.is_model_probe("nobody's")
    assert known_methods.reads_table("nobody's")


def test_a_measure_registered_in_this_process_counts(monkeypatch):
    """Where the registry has been imported, it answers: a script may have registered a measure of its own."""
    entry = flatness_measures["hutchinson"]
    monkeypatch.setitem(flatness_measures.entries, "of a script", entry)
    assert is_flatness_measure("of a script")

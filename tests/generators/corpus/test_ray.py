"""Shards made by a Ray cluster: the same bytes, also where one of its workers is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from support.commands import contents
from support.ray_cluster import environments, needs_ray

from satlab.generators import load_language
from satlab.generators.corpus.writer import write_corpus

NEW = ["--sentences", "20", "--out", "new"]
GENERATE = ["generate", "demo-hmm", "--seed", "3", "--engine", "ray"]


def test_without_ray_one_line_says_how_to_get_it(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    refused([*GENERATE, *NEW], "Ray is not installed, expected the extra `ray`; pip install 'saturation-lab[ray]'")


@needs_ray
@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:9", "Connection refused"),
        ("ray://127.0.0.1:9", "Connection refused"),
        ("nonsense", "Invalid address format"),
        ("ray://", "expected a host and a port"),
        (":", "expected a host and a port"),
        ("127.0.0.1:0", "expected a host and a port"),
        ("127.0.0.1:port", "Port could not be cast"),
        ("[::1:6379", "Invalid IPv6"),
    ],
)
def test_without_a_cluster_one_line_says_how_to_start_one(refused, monkeypatch, address, why):
    monkeypatch.setenv("RAY_ADDRESS", address)
    refused([*GENERATE, *NEW], f"engine 'ray': no cluster at '{address}'", why, "start one with `ray start --head`")


@needs_ray
@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_what_answers_and_is_not_ray_is_not_waited_for(refused, monkeypatch, prefix):
    """Such as Ray's own dashboard, whose port is easily taken for the cluster's."""

    class Closed(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("RAY_ADDRESS", f"{prefix}127.0.0.1:{server.server_port}")
        begin = time.monotonic()
        refused([*GENERATE, *NEW], "the server there is not Ray")
        server.shutdown()
    assert time.monotonic() - begin < 10


@pytest.fixture
def asked(monkeypatch):
    """What Ray is asked for; it is not reached."""
    import ray

    found = []

    def init(**options):
        found.append(options["address"])
        raise found[0] if isinstance(found[0], BaseException) else ConnectionError("Could not find any. Or so")

    monkeypatch.setattr(ray, "init", init)
    return found


@needs_ray
@pytest.mark.parametrize("address", ["", " ", "auto", None])
def test_without_an_address_it_is_this_machines_cluster_never_a_new_one(refused, monkeypatch, asked, address):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    refused([*GENERATE, *NEW], "engine 'ray': no cluster on this machine (Could not find any), expected a running one")
    assert asked == ["auto"]


@needs_ray
def test_an_address_that_means_a_new_cluster_is_refused(refused, monkeypatch, asked):
    monkeypatch.setenv("RAY_ADDRESS", "local")
    refused([*GENERATE, *NEW], "RAY_ADDRESS is 'local', expected a running cluster; start one with `ray start")
    assert asked == []


@needs_ray
@pytest.mark.parametrize("failure", [IndexError("list index out of range"), SystemExit(15), KeyError("a")])
def test_how_ray_fails_inside_is_not_shown(refused, monkeypatch, asked, failure):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    asked.append(failure)
    assert str(failure) not in refused([*GENERATE, *NEW], "engine 'ray': no cluster on this machine")


@pytest.mark.slow
@needs_ray
@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs Linux's /proc")
@pytest.mark.parametrize("format", ["parquet", "bin"])
def test_a_cluster_makes_the_same_bytes_also_where_a_worker_is_killed(cluster, tmp_path, format):
    environment, folder = cluster
    sentences, size = 150_000, 5_000
    options = ["--sentences", str(sentences), "--shard-sentences", str(size), "--format", format]
    command = [sys.executable, "-m", "satlab", *GENERATE, *options, "--out", str(tmp_path / "c")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    killed = set()
    deadline = time.monotonic() + 120
    while not killed:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        for worker, line in environments(folder).items():
            if line.startswith(b"ray::_call") and not killed:
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, b"")
    list(
        write_corpus(
            load_language("demo-hmm"), "demo-hmm", sentences, tmp_path / "here", 3, False, format, shard_sentences=size
        )
    )
    assert contents(tmp_path / "c") == contents(tmp_path / "here")

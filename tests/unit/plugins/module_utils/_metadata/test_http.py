# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_metadata/http: requests from bytes as they come, strictly."""
from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata import http
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.answers import Answer, matches
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.http import MAX_BODY, MAX_HEAD, Broken, Reader, rendered

GET = b"GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"


def all_of(data, step=None):
    """The requests in some bytes, which come in pieces of a size."""
    reader, found = Reader(), []
    for place in range(0, len(data), step or max(len(data), 1)):
        reader.feed(data[place:place + (step or len(data))])
        while True:
            request = reader.next_request()
            if request is None:
                break
            found.append(request)
    return found


def refused(data):
    with pytest.raises(Broken) as caught:
        all_of(data)
    return caught.value.status


def test_a_request():
    [found] = all_of(GET)
    assert (found.method, found.path, found.query, found.headers, found.body) == ("GET", "/a", (("x", "1"),), (("host", "h"),), b"")
    assert found.keep_alive and found.http_1_1


@pytest.mark.parametrize("data", [POST, CHUNKED])
def test_a_body(data):
    [found] = all_of(data)
    assert found.body == b"hello"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_however_the_bytes_come(step):
    """Also several requests in a row, sent before the first was answered."""
    assert all_of(GET + POST + b"\r\n" + CHUNKED + GET, step) == [*all_of(GET), *all_of(POST), *all_of(CHUNKED), *all_of(GET)]


@pytest.mark.parametrize(("line", "keep_alive"), [
    ("HTTP/1.1", True), ("HTTP/1.0", False), ("HTTP/1.1\r\nConnection: close", False), ("HTTP/1.1\r\nConnection: x, Close", False),
    ("HTTP/1.0\r\nConnection: Keep-Alive", True), ("HTTP/1.0\r\nConnection: keep-alive, close", False),
])
def test_who_keeps_the_connection(line, keep_alive):
    [found] = all_of(f"GET / {line}\r\nHost: h\r\n\r\n".encode())
    assert found.keep_alive is keep_alive


@pytest.mark.parametrize(("target", "path"), [
    ("/a%20b", "/a b"), ("http://169.254.169.254/x?y=1", "/x"), ("HTTP://h", "/"), ("http://h?x=/a", "/"), ("https://h:80/x?y", "/x"),
    ("/%2e%2e/x", "/../x"), ("/a%zz", "/a%zz"), ("//x", "//x"), ("/?", "/"),
])
def test_targets(target, path):
    [found] = all_of(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert found.path == path


@pytest.mark.parametrize("head", [
    "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\nHost: b", "GET / HTTP/1.1\r\nHost: a b", "GET / HTTP/1.0\r\nHost: a/b",
    "GET / HTTP/2.0\r\nHost: h", "GET / HTTP/0.9\r\nHost: h", "GET /\r\nHost: h",
    "GET  / HTTP/1.1\r\nHost: h", "GET / HTTP/1.1 \r\nHost: h", "G\x00T / HTTP/1.1\r\nHost: h", "GET /\xe4 HTTP/1.1\r\nHost: h", "GET * HTTP/1.1\r\nHost: h",
    "GET x HTTP/1.1\r\nHost: h", "CONNECT h:80 HTTP/1.1\r\nHost: h", "GET /#x HTTP/1.1\r\nHost: h", " GET / HTTP/1.1\r\nHost: h",
    "GET / HTTP/1.1\r\nHost : h", "GET / HTTP/1.1\r\nHost: h\r\n folded", "GET / HTTP/1.1\r\nHost: h\r\nx", "GET / HTTP/1.1\r\nHost: h\r\n: x",
    "GET / HTTP/1.1\r\nHost: h\r\nA: \x00", "GET / HTTP/1.1\r\nHost: h\r\nA: a\nB: b", "GET / HTTP/1.1\r\nHost: h\r\nA: a\rB: b",
    # what two readers could take for two lengths
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked",
], ids=repr)
def test_what_is_refused(head):
    assert refused(head.encode("latin-1") + b"\r\n\r\n") == 400


@pytest.mark.parametrize("chunks", [
    b"x\r\n", b"-1\r\n", b"\r\n", b"1 \r\n", b"2\r\nabc\r\n", b"2\r\nab\n\n", b"123456789\r\n", b"1" * 300, b"1;" + b"x" * 300,
], ids=repr)
def test_chunks_that_are_none(chunks):
    assert refused(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks) == 400


@pytest.mark.parametrize("piece", [b" ", b"\t", b" \t", b"a", b" a", b"\xe4", b",", b";"], ids=repr)
@pytest.mark.parametrize("end", [b"", b"y", b"\x01", b"\x7f"], ids=repr)
@pytest.mark.parametrize("begin", [
    b"GET / HTTP/1.1\r\nHost: h\r\nA:", b"GET / HTTP/1.1\r\nHost: h\r\nA: x", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: h\r\n", b"GET ", b"",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection:", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:",
], ids=repr)
def test_no_request_takes_long_to_read(begin, piece, end):
    """One that did would keep every other guest waiting: the longest there can be of what repeats itself, with an end that fits or not."""
    data = begin + piece * ((MAX_HEAD - len(begin) - 8) // len(piece)) + end + b"\r\n\r\n"
    began = time.process_time()
    try:
        all_of(data)
    except Broken as broken:
        assert broken.status == 400
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(("value", "read"), [("", ""), (" ", ""), ("\t x \t y \t", "x \t y"), ("x", "x"), ("  x", "x"), ("\xa0x", "\xa0x")])
def test_white_space_around_a_value(value, read):
    [found] = all_of(f"GET / HTTP/1.1\r\nHost: h\r\nA:{value}\r\n\r\n".encode("latin-1"))
    assert found.header("a") == read


@pytest.mark.parametrize(("data", "status"), [
    (b"GET /" + b"a" * MAX_HEAD, 414), (b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD, 431), (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 70 + b"\r\n", 431),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n", 413), (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"a" * 0x8000 + b"\r\n8001\r\n", 413),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 40000, 413),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 20000, 413),
    (b"GET /?" + b"a&" * 100 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\n", 400), (b"\0", 400),
], ids=[str(number) for number in range(12)])
def test_what_is_too_much(data, status):
    assert refused(data) == status


def test_a_client_that_waits_before_it_sends_its_body():
    reader = Reader()
    reader.feed(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert reader.next_request() is None and reader.waits_for_body
    reader.feed(b"ok")
    assert not reader.waits_for_body
    found = reader.next_request()
    assert found is not None and found.body == b"ok" and not reader.is_amid


@given(
    st.lists(st.sampled_from([
        GET, POST, CHUNKED, b"\r\n", b"0\r\n", b"x", b"\0", b"Host: h\r\n", b"\r\n\r\n", b"Content-Length: 5\r\n", b"GET / HTTP/1.1\r\n",
    ])),
    st.integers(1, 50),
)
def test_pieces_of_requests_in_any_order(pieces, step):
    """Whatever comes: requests, or `Broken`, and the same ones however it is cut."""
    data = b"".join(pieces)

    def outcome(size):
        try:
            return [(one.method, one.body) for one in all_of(data, size)]
        except Broken as broken:
            return broken.status

    whole, cut = outcome(None), outcome(step)
    # What is no HTTP may be told before its end is there.
    assert whole == cut or 400 in (whole, cut)


@given(st.binary(max_size=2000))
def test_arbitrary_bytes(data):
    try:
        all_of(data)
    except Broken as broken:
        assert 400 <= broken.status < 500
    assert len(data) < MAX_BODY


def test_an_answer():
    data = rendered(Answer(200, b"xyz", headers=(("ETag", '"1"'),)), head=False, keep_alive=True, now=0.0)
    head, _blank, body = data.partition(b"\r\n\r\n")
    assert body == b"xyz" and head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK", b"Date: Thu, 01 Jan 1970 00:00:00 GMT", b"Connection: keep-alive", b'ETag: "1"',
        b"Content-Type: application/json; charset=utf-8", b"Content-Length: 3",
    ]
    assert rendered(Answer(200, b"xyz"), head=True, keep_alive=False, now=0.0).endswith(b"Content-Length: 3\r\n\r\n")
    assert b"Content-" not in rendered(Answer(304), head=False, keep_alive=False, now=0.0)
    assert http.CONTINUE.endswith(b"\r\n\r\n")


@given(st.text())
def test_any_word_for_an_etag(given_word):
    assert matches("7", given_word) in (True, False)

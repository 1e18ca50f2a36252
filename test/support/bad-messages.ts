// Messages that two parsers could read differently, each with what is odd about it: for every test that has to see them
// refused. `named` is the Host line of whoever asks.

const line = "POST / HTTP/1.1\r\n";

/** Heads that are refused before anything of them goes on. */
export function badHeads(host: string): Readonly<Record<string, string>> {
  const named = `Host: ${host}\r\n`;
  return {
    "length and chunked coding": `${line}${named}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "chunked coding and length": `${line}${named}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n`,
    "two lengths": `${line}${named}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
    "two equal lengths": `${line}${named}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`,
    "a list of lengths": `${line}${named}Content-Length: 3, 3\r\n\r\nabc`,
    "a signed length": `${line}${named}Content-Length: +3\r\n\r\nabc`,
    "a negative length": `${line}${named}Content-Length: -3\r\n\r\nabc`,
    "a length in hex": `${line}${named}Content-Length: 0x3\r\n\r\nabc`,
    "an empty length": `${line}${named}Content-Length: \r\n\r\n`,
    "a length beyond all bounds": `${line}${named}Content-Length: 99999999999999999999\r\n\r\n`,
    "a coding that is not chunked": `${line}${named}Transfer-Encoding: gzip\r\n\r\n`,
    "chunked and another coding": `${line}${named}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    "chunked twice": `${line}${named}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "chunked misspelt": `${line}${named}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    "chunked with a vertical tab": `${line}${named}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`,
    "chunked in HTTP/1.0": `POST / HTTP/1.0\r\n${named}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "a blank before the colon": `${line}${named}Content-Length : 3\r\n\r\nabc`,
    "a folded field": `${line}${named}X-A: 1\r\n 2\r\n\r\n`,
    "a first field that is indented": `${line} X-A: 1\r\n${named}\r\n`,
    "a bare LF between fields": `${line}${named}X-A: 1\nX-B: 2\r\n\r\n`,
    "a bare CR in a field": `${line}${named}X-A: 1\rX-B: 2\r\n\r\n`,
    "bare LFs at the end": `${line}${named}\n\n`,
    "a NUL in a field": `${line}${named}X-A: 1\x002\r\n\r\n`,
    "a control byte in a field": `${line}${named}X-A: 1\x012\r\n\r\n`,
    "a field without a name": `${line}${named}: 1\r\n\r\n`,
    "a field without a colon": `${line}${named}X-A\r\n\r\n`,
    "a name with a blank": `${line}${named}X A: 1\r\n\r\n`,
    "a name with a high byte": `${line}${named}X-\xe9: 1\r\n\r\n`,
    "no version": `GET /\r\n${named}\r\n`,
    "another version": `GET / HTTP/2.0\r\n${named}\r\n`,
    "a version in lower case": `GET / http/1.1\r\n${named}\r\n`,
    "a version with two digits": `GET / HTTP/1.10\r\n${named}\r\n`,
    "two blanks in the request line": `GET  / HTTP/1.1\r\n${named}\r\n`,
    "a tab in the request line": `GET\t/ HTTP/1.1\r\n${named}\r\n`,
    "a blank behind the request line": `GET / HTTP/1.1 \r\n${named}\r\n`,
    "a high byte in the target": `GET /\xe9 HTTP/1.1\r\n${named}\r\n`,
    "a fragment in the target": `GET /#a HTTP/1.1\r\n${named}\r\n`,
    "a relative target": `GET a HTTP/1.1\r\n${named}\r\n`,
  };
}

/** Bodies that turn out to be malformed while they are on their way. */
export const badBodies: Readonly<Record<string, string>> = {
  "a chunk size that is no number": "xyz\r\n",
  "a signed chunk size": "+3\r\nabc\r\n0\r\n\r\n",
  "a chunk size with a prefix": "0x3\r\nabc\r\n0\r\n\r\n",
  "an empty chunk size": "\r\nabc\r\n0\r\n\r\n",
  "a chunk size beyond all bounds": "fffffffffffffffff\r\nabc",
  "a chunk that is longer than its size": "3\r\nabcd\r\n0\r\n\r\n",
  "a bare LF behind a chunk size": "3\nabc\r\n0\r\n\r\n",
  "a bare LF behind a chunk": "3\r\nabc\n0\r\n\r\n",
  "a bare CR in an extension": "3;a\rb\r\nabc\r\n0\r\n\r\n",
  "a folded trailer": "0\r\nX-A: 1\r\n 2\r\n\r\n",
  "a trailer that frames": "0\r\nContent-Length: 5\r\n\r\n",
  "a trailer without a colon": "0\r\nX-A\r\n\r\n",
};

/** Answers of an origin that are refused with 502, the connection closed. */
export const badAnswers: Readonly<Record<string, string>> = {
  "no HTTP": "hello\r\n\r\n",
  "length and chunked coding": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
  "a folded field": "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
  "a blank before the colon": "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
  "a bare LF": "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
  "a status of two digits": "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
  "1xx with a length": "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nabcde",
  "a head that never ends": `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(100_000)}`,
  nothing: "",
  "half a head": "HTTP/1.1 200 OK\r\nContent-Le",
};

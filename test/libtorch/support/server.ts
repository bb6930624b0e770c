/** A web server on this machine that misbehaves as told. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after } from 'node:test';

/** Answers a request; `attempt` counts the requests from 0. */
export type Behaviour = (request: IncomingMessage, response: ServerResponse, attempt: number) => void;

export interface TestRequest {
  readonly method: string;
  readonly url: string;
  readonly range: string | undefined;
}

export interface TestServer {
  /** Such as `http://127.0.0.1:41234`. */
  readonly address: string;
  readonly requests: readonly TestRequest[];
  /** Hosts to which a client asked for a tunnel (`CONNECT`), as of a proxy. */
  readonly tunnels: readonly string[];
}

/** Starts a server that ends with the suite. */
export async function startServer(behave: Behaviour): Promise<TestServer> {
  const requests: TestRequest[] = [];
  const server = createServer((request, response) => {
    requests.push({ method: request.method ?? '', url: request.url ?? '', range: request.headers.range });
    behave(request, response, requests.length - 1);
  });
  const tunnels: string[] = [];
  server.on('connect', (request, socket) => {
    tunnels.push(request.url ?? '');
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, tunnels };
}

/** Serves `data` as a good server does, with ranges. */
export function serve(data: Buffer, request: IncomingMessage, response: ServerResponse): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (from >= data.length && from > 0) {
    response.writeHead(416).end();
    return;
  }
  const status = request.headers.range === undefined ? 200 : 206;
  const range = { 'content-range': `bytes ${from}-${data.length - 1}/${data.length}` };
  response.writeHead(status, { 'content-length': data.length - from, ...(status === 206 ? range : {}) });
  response.end(request.method === 'HEAD' ? undefined : data.subarray(from));
}

/** Sends `count` bytes from the wanted position and then breaks the connection. */
export function breakAfter(
  count: number,
  data: Buffer,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  response.writeHead(from > 0 ? 206 : 200, { 'content-length': data.length - from });
  // A client loses what it has not read yet when the connection breaks, and a busy machine needs a while to read.
  response.write(data.subarray(from, from + count), () => setTimeout(() => response.destroy(), 200));
}

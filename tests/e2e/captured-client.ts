/** A client on a host: a line of JSON on standard input is a call, a line on standard output its answer. */
import { Agent, type ClientRequest, request } from 'node:http';
import net from 'node:net';
import { createInterface } from 'node:readline';

export interface HttpCall {
  readonly http: { readonly host: string; readonly port: number; readonly path?: string; readonly name?: string };
}
export interface TcpCall {
  /** @param send what is sent, and then the end of the stream */
  readonly tcp: { readonly host: string; readonly port: number; readonly send?: string };
}
export interface UpgradeCall {
  readonly upgrade: { readonly host: string; readonly port: number; readonly send: string };
}
/** Calls without end, some on connections of their own and some on kept ones. */
export interface LoadCall {
  readonly load: { readonly host: string; readonly port: number; readonly clients: number } | 'stop';
}
export type Call = HttpCall | TcpCall | UpgradeCall | LoadCall;

export interface Answer {
  readonly status?: number;
  readonly body?: string;
  readonly headers?: Record<string, string>;
  readonly error?: string;
  /** Of a load: how many calls were answered, and why others were not. */
  readonly done?: number;
  readonly failed?: readonly string[];
}

const LIMIT_MS = 15_000;
const kept = new Agent({ keepAlive: true });
let load: { stopped: boolean; done: number; failed: string[]; over: Promise<unknown> } | undefined;

function http({ host, port, path = '/', name }: HttpCall['http'], agent: Agent | false = false): Promise<Answer> {
  return new Promise((resolve) => {
    const outgoing = request({ host, port, path, agent, timeout: LIMIT_MS, headers: name ? { host: name } : {} });
    outgoing.on('response', (incoming) => {
      let body = '';
      incoming.on('data', (bytes) => (body += bytes));
      incoming.on('end', () =>
        resolve({ status: incoming.statusCode ?? 0, body, headers: incoming.headers as Record<string, string> }),
      );
      incoming.on('error', (error) => resolve({ error: error.message }));
    });
    failing(outgoing, resolve);
    outgoing.end();
  });
}

function failing(outgoing: ClientRequest, resolve: (answer: Answer) => void): void {
  outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')));
  outgoing.on('error', (error: NodeJS.ErrnoException) => resolve({ error: error.code ?? error.message }));
}

function tcp({ host, port, send = '' }: TcpCall['tcp']): Promise<Answer> {
  return new Promise((resolve) => {
    let body = '';
    let failure: string | undefined;
    const socket = net.connect({ host, port, timeout: LIMIT_MS }, () => {});
    // Nothing is sent before the server has spoken.
    socket.on('data', (bytes) => {
      if (body === '') socket.end(send);
      body += bytes;
    });
    socket.on('timeout', () => socket.destroy(new Error('no bytes')));
    socket.on('error', (error: NodeJS.ErrnoException) => (failure = error.code ?? error.message));
    socket.on('close', () => resolve(failure === undefined ? { body } : { body, error: failure }));
  });
}

function upgrade({ host, port, send }: UpgradeCall['upgrade']): Promise<Answer> {
  return new Promise((resolve) => {
    const headers = { connection: 'upgrade', upgrade: 'websocket' };
    const outgoing = request({ host, port, agent: false, timeout: LIMIT_MS, headers });
    outgoing.on('response', ({ statusCode = 0 }) => resolve({ status: statusCode }));
    outgoing.on('upgrade', ({ statusCode = 0 }, socket) => {
      let body = '';
      socket.on('data', (bytes: Buffer) => {
        body += bytes;
        if (body.length < send.length) return;
        socket.destroy();
        resolve({ status: statusCode, body });
      });
      socket.write(send);
    });
    failing(outgoing, resolve);
    outgoing.end();
  });
}

async function loaded(what: LoadCall['load']): Promise<Answer> {
  if (what !== 'stop') {
    const started = { stopped: false, done: 0, failed: [] as string[], over: Promise.resolve() as Promise<unknown> };
    const one = async (agent: Agent | false) => {
      while (!started.stopped) {
        const { status, error } = await http(what, agent);
        if (status === 200) started.done++;
        else started.failed.push(error ?? String(status));
      }
    };
    started.over = Promise.all(Array.from({ length: what.clients }, (_, i) => one(i % 2 === 0 ? false : kept)));
    load = started;
    return {};
  }
  if (!load) return { error: 'there is no load' };
  load.stopped = true;
  await load.over;
  return { done: load.done, failed: load.failed.slice(0, 5) };
}

async function answer(call: Call): Promise<Answer> {
  if ('http' in call) return http(call.http);
  if ('tcp' in call) return tcp(call.tcp);
  return 'upgrade' in call ? upgrade(call.upgrade) : loaded(call.load);
}

createInterface({ input: process.stdin }).on('line', (line) => {
  void answer(JSON.parse(line) as Call).then((found) => console.log(JSON.stringify(found)));
});

/** Runs a byte stream through a listener and reduces what came back to what two proxies must agree on. */
import { connect, type Socket } from 'node:net';
import type { RunningProxy } from '../../kit/proxy.ts';

/** One connection, or several at a time, to the listener of the same name. */
export interface StreamCase {
  readonly id: string;
  readonly send: string;
  /** What is done when this many bytes have come back: end (FIN) or destroy (RST); without it the proxy ends. */
  readonly after?: { readonly bytes: number; readonly act: 'end' | 'destroy' };
  /** Connections that are opened, and answered, before this one, and stay open beside it. */
  readonly beside?: number;
  /** What `case` says in the access logs that are compared; default: the id. */
  readonly logs?: readonly string[];
}

export interface StreamOutcome {
  readonly received: string;
  /** One that is reset has ended too: which of both depends on what was on its way. */
  readonly end: 'closed' | 'open';
  readonly logs: unknown;
}

const LIMIT_MS = 20_000;

export async function streamOutcomeOf(proxy: RunningProxy, given: StreamCase): Promise<StreamOutcome> {
  const port = proxy.ports[given.id];
  if (port === undefined) throw new Error(`${proxy.name} has no listener "${given.id}"`);
  const beside: Socket[] = [];
  for (let i = 0; i < (given.beside ?? 0); i++) beside.push(await answered(port));
  const { received, end } = await stream(port, given);
  for (const socket of beside) socket.destroy();
  const logs: unknown[] = [];
  for (const name of given.logs ?? [given.id]) logs.push(await logged(proxy, name));
  // What carries HTTP tells the time, and names in the case they came in.
  return { received: received.replace(/^date: .*$/im, 'date: now'), end, logs };
}

/** A connection that has sent a byte and got it back. */
function answered(port: number): Promise<Socket> {
  return new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('+'));
    socket.once('data', () => done(socket));
    socket.once('close', () => fail(new Error('closed before it was answered')));
    socket.on('error', () => {});
  });
}

function stream(port: number, { send, after }: StreamCase): Promise<{ received: string; end: 'closed' | 'open' }> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let received = '';
    const finish = (end: 'closed' | 'open') => {
      clearTimeout(timer);
      socket.destroy();
      done({ received, end });
    };
    const timer = setTimeout(() => finish('open'), LIMIT_MS);
    const act = () => {
      if (!after || received.length < after.bytes) return;
      if (after.act === 'end') socket.end();
      else {
        socket.resetAndDestroy();
        finish('closed');
      }
    };
    socket.setEncoding('latin1');
    socket.on('connect', () => {
      socket.write(send, 'latin1');
      if (after?.bytes === 0) act();
    });
    socket.on('data', (text) => {
      received += text;
      act();
    });
    socket.on('end', () => finish('closed'));
    socket.on('error', () => finish('closed'));
    socket.on('close', () => finish('closed'));
  });
}

async function logged(proxy: RunningProxy, name: string): Promise<unknown> {
  const line = await proxy
    .line((text) => (text.startsWith('{') && text.includes(`"case":"${name}"`) ? text : undefined), LIMIT_MS)
    .catch(() => undefined);
  if (line === undefined) return 'not logged';
  return Object.fromEntries(Object.entries(JSON.parse(line) as Record<string, unknown>).sort());
}

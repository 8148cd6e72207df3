import { expect, it } from 'vitest';
import { MemoryRuntime } from '../http/testing/memory-network.ts';
import type { Connection, ConnectionHandler } from '../runtime/runtime.ts';
import { dial, targetOf } from './dial.ts';

const to = { address: '10.0.0.9', port: 1 };

/** A dial whose outcome the test decides, and what was reported of it. */
function controlled(timeoutMs: number) {
  let handler: ConnectionHandler | undefined;
  let open: ((connection: Connection) => void) | undefined;
  let destroyed = 0;
  const connection = { destroy: () => destroyed++ } as unknown as Connection;
  const reports: string[] = [];
  let wake: () => void = () => undefined;
  const reported = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const report = (text: string) => {
    reports.push(text);
    wake();
  };
  const dialling = dial(
    {
      connect: (_to, _tls, given, onOpen) => {
        handler = given;
        open = onOpen;
        return connection;
      },
    },
    to,
    undefined,
    timeoutMs,
    { onOpen: () => report('open'), onFailed: (reason, detail) => report(`${reason} ${detail}`) },
  );
  return {
    dialling,
    reports,
    reported,
    open: () => open!(connection),
    close: (error?: Error) => handler!.onClose(error),
    destroyed: () => destroyed,
  };
}

it('reports an open connection once, and nothing of its timeout or close', async () => {
  const one = controlled(5);
  one.open();
  expect(one.dialling.cancel()).toBe(false);
  await new Promise((later) => setTimeout(later, 20));
  one.close();
  expect(one.reports).toEqual(['open']);
  expect(one.destroyed()).toBe(0);
});

it('reports a failure once, in Envoy words, and destroys what opens later', () => {
  const one = controlled(0);
  one.close(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }));
  one.close();
  one.open();
  expect(one.reports).toEqual(['remote_connection_failure delayed connect error: Connection refused']);
  expect(one.destroyed()).toBe(2);
});

it('times out, and a close that follows is not reported again', async () => {
  const one = controlled(5);
  await one.reported;
  one.close(new Error('destroyed'));
  expect(one.reports).toEqual(['connection_timeout ']);
  expect(one.destroyed()).toBe(1);
});

it('is silent after cancel', () => {
  const one = controlled(0);
  expect(one.dialling.cancel()).toBe(true);
  one.close();
  one.open();
  expect(one.dialling.cancel()).toBe(false);
  expect(one.reports).toEqual([]);
});

it('opens over a runtime', async () => {
  const runtime = new MemoryRuntime();
  await runtime.listen(to, () => undefined);
  const opened = await new Promise<Connection>((resolve, reject) => {
    dial(runtime, to, undefined, 1000, { onOpen: resolve, onFailed: reject });
  });
  expect(opened.remotePort).toBeGreaterThan(0);
});

it('binds the source of the family of the endpoint', () => {
  const from = (localAddress: string, address: string) =>
    targetOf({ address, port: 1, preface: undefined }, { localAddress }).localAddress;
  expect(from('127.0.0.6', '10.0.0.1')).toBe('127.0.0.6');
  expect(from('127.0.0.6', '2001:db8::1')).toBe('::6');
  expect(from('::6', '10.0.0.1')).toBe('127.0.0.6');
  expect(from('10.0.0.2', '2001:db8::1')).toBe('10.0.0.2');
});

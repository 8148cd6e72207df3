import { describe, expect, it } from 'vitest';
import { MemoryRuntime } from '../http/testing/memory-network.ts';
import type { Connection, ConnectionHandler, Runtime } from '../runtime/runtime.ts';
import { OwnListeners, withoutOwnListeners } from './own-listeners.ts';

/** A host with the addresses given, and a clock that the test sets. */
function ownOf(addresses: string[], clock = { ms: 0 }) {
  let reads = 0;
  const own = new OwnListeners({
    monotonicMs: () => clock.ms,
    localAddresses() {
      reads++;
      return addresses;
    },
  });
  return { own, clock, reads: () => reads };
}

describe('OwnListeners', () => {
  const { own } = ownOf(['127.0.0.1', '10.0.0.5', '::1', 'fe80::5', '2001:db8::5']);
  own.add({ address: '127.0.0.1', port: 80 });
  own.add({ address: '10.0.0.5', port: 80 });
  own.add({ address: '0.0.0.0', port: 90 });
  own.add({ address: '::', port: 91 });
  own.add({ address: '::1', port: 92 });
  own.add({ address: '::ffff:10.0.0.5', port: 93 });

  it.each([
    ['127.0.0.1', 80, '127.0.0.1:80'],
    ['::ffff:127.0.0.1', 80, '127.0.0.1:80'],
    ['::ffff:7f00:1', 80, '127.0.0.1:80'],
    ['0:0:0:0:0:FFFF:127.0.0.1', 80, '127.0.0.1:80'],
    ['0.0.0.0', 80, '127.0.0.1:80'],
    ['10.0.0.5', 80, '10.0.0.5:80'],
    ['127.0.0.1', 90, '0.0.0.0:90'],
    ['127.99.1.2', 90, '0.0.0.0:90'],
    ['10.0.0.5', 90, '0.0.0.0:90'],
    ['::ffff:10.0.0.5', 90, '0.0.0.0:90'],
    ['0.0.0.0', 90, '0.0.0.0:90'],
    ['::1', 91, '[::]:91'],
    ['::', 91, '[::]:91'],
    ['2001:DB8:0::5', 91, '[::]:91'],
    ['fe80::5%eth0', 91, '[::]:91'],
    ['10.0.0.5', 91, '[::]:91'],
    ['::', 92, '[::1]:92'],
    ['10.0.0.5', 93, '[::ffff:10.0.0.5]:93'],
    // The system's resolver takes it for 127.0.0.1.
    ['127.0.0.01', 80, '127.0.0.1:80'],
    ['localhost', 80, '127.0.0.1:80'],
  ])('knows %s port %i as its own listener %s', (address, port, listener) => {
    expect(own.find({ address, port })).toBe(listener);
  });

  it.each([
    ['127.0.0.2', 80],
    ['127.0.0.1', 81],
    ['10.0.0.6', 80],
    ['10.0.0.6', 90],
    ['2001:db8::6', 91],
    ['127.0.0.1', 92],
    ['127.0.0.1', 93],
  ])('lets a connection to %s port %i pass', (address, port) => {
    expect(own.find({ address, port })).toBeUndefined();
  });

  it('forgets a listener that is closed, and keeps another on its port', () => {
    const { own: some } = ownOf([]);
    const first = some.add({ address: '127.0.0.1', port: 80 });
    const second = some.add({ address: '127.0.0.1', port: 80 });
    first();
    expect(some.find({ address: '127.0.0.1', port: 80 })).toBe('127.0.0.1:80');
    second();
    expect(some.find({ address: '127.0.0.1', port: 80 })).toBeUndefined();
  });

  it('reads the interfaces only for wildcard listeners, and again after a second', () => {
    const addresses: string[] = [];
    const { own: some, clock, reads } = ownOf(addresses);
    some.add({ address: '10.0.0.5', port: 80 });
    some.add({ address: '0.0.0.0', port: 90 });
    some.find({ address: '10.0.0.7', port: 80 });
    expect(reads()).toBe(0);
    expect(some.find({ address: '10.0.0.7', port: 90 })).toBeUndefined();
    addresses.push('10.0.0.7');
    clock.ms = 1000;
    expect(some.find({ address: '10.0.0.7', port: 90 })).toBe('0.0.0.0:90');
    expect(reads()).toBe(2);
  });
});

describe('withoutOwnListeners', () => {
  const ignore = () => {};
  const silent: ConnectionHandler = { onData: ignore, onDrain: ignore, onEnd: ignore, onClose: ignore };

  function guarded(runtime: MemoryRuntime, connect: Runtime['connect'] = (...args) => runtime.connect(...args)) {
    const refused: string[] = [];
    const below = Object.assign(Object.create(runtime) as Runtime, { connect });
    const own = new OwnListeners(below);
    return { refused, runtime: withoutOwnListeners(below, own, (listener) => refused.push(listener)) };
  }

  it('dials no listener of its own while it listens, and dials the address once it does not', async () => {
    const memory = new MemoryRuntime();
    const contexts: (string | undefined)[] = [];
    const { runtime, refused } = guarded(memory, (to, tls, handler, onOpen) => {
      contexts.push(tls?.unready);
      return memory.connect(to, tls, handler, onOpen);
    });
    const listening = await runtime.listen({ address: '127.0.0.1', port: 80 }, ignore);
    runtime.connect({ address: '127.0.0.1', port: 80 }, undefined, silent, ignore);
    runtime.connect({ address: '127.0.0.1', port: 81 }, undefined, silent, ignore);
    runtime.connect({ address: '127.0.0.2', port: 80 }, undefined, silent, ignore);
    await listening.close();
    runtime.connect({ address: '127.0.0.1', port: 80 }, undefined, silent, ignore);
    expect(contexts).toEqual(['connection to a listener of this proxy refused', undefined, undefined, undefined]);
    expect(refused).toEqual(['127.0.0.1:80']);
  });

  it('dials no listener that is about to listen, and dials its address when it could not', async () => {
    const { runtime, refused } = guarded(new MemoryRuntime());
    const at = { address: '127.0.0.1', port: 80 };
    const listening = runtime.listen(at, ignore);
    runtime.connect(at, undefined, silent, ignore);
    expect(refused).toEqual(['127.0.0.1:80']);
    await (await listening).close();
    const failing = Object.assign(new MemoryRuntime(), { listen: () => Promise.reject(new Error('in use')) });
    const other = guarded(failing);
    await expect(other.runtime.listen(at, ignore)).rejects.toThrow('in use');
    other.runtime.connect(at, undefined, silent, ignore);
    expect(other.refused).toEqual([]);
  });

  it('closes a connection to an address on which it listens by the time the connection is open', async () => {
    const memory = new MemoryRuntime();
    const { runtime, refused } = guarded(memory);
    const at = { address: '127.0.0.1', port: 80 };
    const opened: Connection[] = [];
    await memory.listen({ address: '127.0.0.1', port: 80 }, ignore);
    runtime.connect(at, undefined, silent, (connection) => opened.push(connection));
    await runtime.listen(at, ignore);
    await Promise.resolve();
    expect([opened, refused]).toEqual([[], ['127.0.0.1:80']]);
  });

  it('closes a connection that turns out to have come back to a wildcard listener', async () => {
    const opened: string[] = [];
    const closed: (Error | undefined)[] = [];
    const connectionTo = (localAddress: string) =>
      ({ localAddress, remoteAddress: '203.0.113.9', destroy: (error) => closed.push(error) }) as Partial<Connection>;
    let local = '203.0.113.9';
    const { runtime, refused } = guarded(new MemoryRuntime(), (_to, _tls, _handler, onOpen) => {
      const connection = connectionTo(local) as Connection;
      onOpen(connection);
      return connection;
    });
    await runtime.listen({ address: '0.0.0.0', port: 80 }, ignore);
    const to = { address: '203.0.113.9', port: 80 };
    runtime.connect(to, undefined, silent, ({ localAddress }) => opened.push(localAddress));
    local = '10.0.0.5';
    runtime.connect(to, undefined, silent, ({ localAddress }) => opened.push(localAddress));
    expect(opened).toEqual(['10.0.0.5']);
    expect(closed.map((error) => error?.message)).toEqual(['connection to a listener of this proxy refused']);
    expect(refused).toEqual(['0.0.0.0:80']);
  });
});

import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DataPlane } from '../proxy.ts';
import { currentRuntime } from '../runtime/index.ts';
import { proxyCompilers } from '../xds/compilers.ts';
import type { ConfigTarget } from './config-target.ts';
import { RefusedListeners, SET_BIND, TRIED_AGAIN } from './refused-listeners.ts';

/** Time in the test's hands. */
class Timers {
  readonly waits: number[] = [];
  private due: (() => void) | undefined;
  readonly after = (ms: number, callback: () => void) => {
    this.waits.push(ms);
    this.due = callback;
    return () => {
      this.due = undefined;
    };
  };
  get armed(): boolean {
    return this.due !== undefined;
  }
  fire(): void {
    const { due } = this;
    this.due = undefined;
    due?.();
  }
}

function setup(target: ConfigTarget) {
  const timers = new Timers();
  const lines: string[] = [];
  const opened: string[] = [];
  const listeners = new RefusedListeners({
    target,
    random: () => 1,
    log: (line) => lines.push(line),
    opened: (name) => opened.push(name),
    after: timers.after,
  });
  /** Fires the timer, and lets the attempt end. */
  const attempt = async () => {
    timers.fire();
    await listeners.apply({});
  };
  return { listeners, timers, lines, opened, attempt };
}

const upsert = (...resources: object[]) => ({ listeners: { upsert: resources, remove: [] as string[] } });

describe('refused listeners', () => {
  const seen: unknown[] = [];
  const reasons = new Map<string, string>();
  const target: ConfigTarget = {
    apply: ({ listeners }) => {
      seen.push(listeners);
      return new Map(
        (listeners?.upsert ?? []).flatMap((raw) => {
          const key = `listeners/${(raw as { name: string }).name}`;
          const reason = reasons.get(key);
          return reason === undefined ? [] : [[key, reason] as const];
        }),
      );
    },
  };
  afterEach(() => {
    seen.length = 0;
    reasons.clear();
  });

  it('are tried again after longer and longer waits, until they open', async () => {
    const { listeners, timers, lines, opened, attempt } = setup(target);
    reasons.set('listeners/a', 'taken');
    expect(await listeners.apply(upsert({ name: 'a' }, { name: 'b' }))).toEqual(
      new Map([['listeners/a', `taken; ${TRIED_AGAIN}`]]),
    );
    await attempt();
    await attempt();
    reasons.set('listeners/a', 'no such address');
    await attempt();
    reasons.clear();
    await attempt();
    expect(timers.waits).toEqual([1000, 2000, 4000, 8000]);
    expect(timers.armed).toBe(false);
    expect(opened).toEqual(['a']);
    // Once a reason, not once an attempt; what ran was not touched.
    expect(lines).toEqual([`config refused: listeners/a: no such address; ${TRIED_AGAIN}`, 'listener a is open now']);
    expect(seen.filter((one) => JSON.stringify(one)?.includes('"b"'))).toHaveLength(1);
  });

  it('are forgotten where they are removed, replaced by a good version, or the proxy stops', async () => {
    const { listeners, opened, attempt } = setup(target);
    for (const name of ['a', 'b']) reasons.set(`listeners/${name}`, 'taken');
    await listeners.apply(upsert({ name: 'a' }, { name: 'b' }));
    reasons.delete('listeners/b');
    await listeners.apply({ listeners: { upsert: [{ name: 'b', version: 2 }], remove: ['a'] } });
    const before = seen.length;
    reasons.clear();
    await attempt();
    expect(opened).toEqual([]);
    expect(seen.slice(before).filter((one) => one !== undefined && JSON.stringify(one).includes('name'))).toEqual([]);
    reasons.set('listeners/c', 'taken');
    await listeners.apply(upsert({ name: 'c' }));
    listeners.stop();
    reasons.clear();
    await attempt();
    expect(opened).toEqual([]);
  });
});

describe('a port that another process has', () => {
  let taken: Server | undefined;
  let proxy: DataPlane | undefined;
  afterEach(async () => {
    await proxy?.stop();
    taken?.close();
  });

  it('is listened on as soon as it is free', async () => {
    const runtime = currentRuntime();
    taken = createServer();
    await new Promise<void>((done) => taken!.listen(0, '127.0.0.1', done));
    const { port } = taken.address() as { port: number };
    proxy = new DataPlane(runtime, {
      compilers: proxyCompilers(
        { runtime, trustDomain: undefined },
        () => [],
        () => [],
      ),
    });
    const { listeners, opened, attempt } = setup(proxy);
    const tcp = {
      '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
      statPrefix: 't',
      cluster: 'c',
    };
    const listener = {
      name: 'l',
      address: { socketAddress: { address: '127.0.0.1', portValue: port } },
      filterChains: [{ filters: [{ name: 'tcp', typedConfig: tcp }] }],
    };
    const refused = await listeners.apply(upsert(listener));
    expect(refused.get('listeners/l')).toBe(
      `cannot listen on 127.0.0.1:${port}: the port is in use by another process; stop it or choose another port; ${SET_BIND}; ${TRIED_AGAIN}`,
    );
    await attempt();
    expect([opened, proxy.bound.size]).toEqual([[], 0]);
    await new Promise((done) => taken!.close(done));
    await attempt();
    expect([opened, proxy.bound.get('l')?.port]).toEqual([['l'], port]);
  });
});

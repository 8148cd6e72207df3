import { describe, expect, it } from 'vitest';
import type { ProxyConfigAnswer } from '../../shared/xds/proxy-config.ts';
import type { Files } from '../runtime/runtime.ts';
import type { ControlResponse, RequestOptions } from './control-client.ts';
import { ProxyConfig } from './proxy-config.ts';

const NODE = { id: 'sidecar~10.0.0.1~web.shop~x', metadata: { NAMESPACE: 'shop' } };
const AWAY = new Error('control plane 10.0.0.9:1: ECONNREFUSED');

/** A control plane, a disk and a clock to turn by hand. */
class Bench {
  readonly disk = new Map<string, string>();
  readonly lines: string[] = [];
  readonly asked: { body: unknown; options: RequestOptions }[] = [];
  readonly changes: ProxyConfigAnswer[] = [];
  answer: ControlResponse | Error = { status: 200, body: {} };
  /** Before `answer`. */
  answers: (ControlResponse | Error)[] = [];
  diskFull = false;
  next: { ms: number; run: () => void } | undefined;
  writes = 0;

  proxy(node = NODE): ProxyConfig {
    const files = {
      read: async (path: string) => {
        const text = this.disk.get(path);
        return text === undefined ? undefined : new TextEncoder().encode(text);
      },
      writeAtomic: async (path: string, bytes: Uint8Array, mode: number) => {
        expect(mode).toBe(0o600);
        if (this.diskFull) throw new Error('ENOSPC');
        this.writes++;
        this.disk.set(path, new TextDecoder().decode(bytes));
      },
    } as Partial<Files> as Files;
    return new ProxyConfig({
      client: {
        request: async (method, path, body, options = {}) => {
          expect(`${method} ${path}`).toBe('POST /v1/proxy-config');
          this.asked.push({ body, options });
          const answer = this.answers.shift() ?? this.answer;
          if (answer instanceof Error) throw answer;
          return answer;
        },
      },
      node: () => node,
      files,
      folder: '/data',
      log: (line) => this.lines.push(line),
      random: () => 0.5,
      after: (ms, run) => {
        this.next = { ms, run };
        return () => (this.next = undefined);
      },
    });
  }

  /** The timer rings; resolves when it is set again. @returns the time it was set for, milliseconds */
  async ring(): Promise<number> {
    const { ms, run } = this.next!;
    this.next = undefined;
    run();
    for (let turn = 0; turn < 100 && this.next === undefined; turn++) await Promise.resolve();
    return ms;
  }
}

describe('at the start', () => {
  it('the control plane is asked as the node, and its answer kept', async () => {
    const bench = new Bench();
    bench.answer = { status: 200, body: { concurrency: 2, drainDuration: '9s', laterField: {} } };
    expect(await bench.proxy().start()).toEqual({ concurrency: 2, drainDuration: '9s' });
    expect(bench.asked).toMatchObject([{ body: { node: NODE }, options: { timeoutMs: 10_000 } }]);
    bench.answer = AWAY;
    expect(await bench.proxy().start()).toEqual({ concurrency: 2, drainDuration: '9s' });
    expect(bench.asked[1]).toMatchObject({ options: { timeoutMs: 3000 } });
    expect(bench.lines).toEqual([`proxy config: ${AWAY.message}; starting with the last one known`]);
  });

  it('settings that are no longer sent are forgotten', async () => {
    const bench = new Bench();
    bench.answer = { status: 200, body: { concurrency: 2 } };
    await bench.proxy().start();
    bench.answer = { status: 200, body: {} };
    expect(await bench.proxy().start()).toEqual({});
    bench.answer = AWAY;
    expect(await bench.proxy().start()).toEqual({});
  });

  it('what was written once is not written again', async () => {
    const bench = new Bench();
    for (let i = 0; i < 3; i++) await bench.proxy().start();
    expect(bench.writes).toBe(1);
  });

  it.each<[string, ControlResponse | Error, string]>([
    ['away', AWAY, 'ECONNREFUSED'],
    ['refuses', { status: 404, body: { message: 'no such path' } }, 'refuses it with 404'],
    ['says what cannot be', { status: 200, body: { concurrency: -1 } }, 'malformed'],
    ['says nothing', { status: 200, body: undefined }, 'malformed'],
  ])('one that %s: nothing is taken, and that is said', async (_, answer, why) => {
    const bench = new Bench();
    bench.answer = answer;
    expect(await bench.proxy().start()).toEqual({});
    expect(bench.lines).toEqual([expect.stringContaining(why)]);
    expect(bench.lines[0]).toContain('flags and defaults');
    expect(bench.disk.size).toBe(0);
    expect(bench.asked).toHaveLength(answer instanceof Error ? 3 : 1);
  });

  it('one that is slow to be reached, or fails, is asked again, when nothing is kept', async () => {
    const bench = new Bench();
    bench.answers = [AWAY, { status: 503, body: undefined }, { status: 200, body: { concurrency: 2 } }];
    expect(await bench.proxy().start()).toEqual({ concurrency: 2 });
    expect(bench.lines).toEqual([]);
  });

  it.each([
    ['half a file', (text: string) => text.slice(0, -9)],
    ['another format', (text: string) => text.replace('"format":1', '"format":2')],
    ['what cannot be', (text: string) => text.replace('"concurrency":2', '"concurrency":"2"')],
  ])('a kept one that is damaged is not taken: %s', async (_, damage) => {
    const bench = new Bench();
    bench.answer = { status: 200, body: { concurrency: 2 } };
    await bench.proxy().start();
    for (const [path, text] of bench.disk) bench.disk.set(path, damage(text));
    bench.answer = AWAY;
    expect(await bench.proxy().start()).toEqual({});
    expect(bench.lines[0]).toBe('/data/proxy-config.json is ignored: it cannot be read or is damaged');
  });

  it('nor is that of another node', async () => {
    const bench = new Bench();
    bench.answer = { status: 200, body: { concurrency: 2 } };
    await bench.proxy().start();
    bench.answer = AWAY;
    expect(await bench.proxy({ ...NODE, id: 'sidecar~10.0.0.2~web.shop~x' }).start()).toEqual({});
  });

  it('a full disk does not hinder it', async () => {
    const bench = new Bench();
    bench.diskFull = true;
    bench.answer = { status: 200, body: { concurrency: 2 } };
    expect(await bench.proxy().start()).toEqual({ concurrency: 2 });
    expect(bench.lines).toEqual(['/data/proxy-config.json cannot be written: ENOSPC']);
  });
});

describe('while it runs', () => {
  it('a change is reported once and kept for the next start', async () => {
    const bench = new Bench();
    const proxy = bench.proxy();
    await proxy.start();
    proxy.follow((config) => bench.changes.push(config));
    expect(await bench.ring()).toBe(300_000);
    expect(bench.changes).toEqual([]);
    bench.answer = { status: 200, body: { concurrency: 4 } };
    await bench.ring();
    await bench.ring();
    expect(bench.changes).toEqual([{ concurrency: 4 }]);
    bench.answer = AWAY;
    expect(await bench.proxy().start()).toEqual({ concurrency: 4 });
  });

  it('after a failure it asks sooner, then at growing intervals, and logs nothing', async () => {
    const bench = new Bench();
    bench.answer = AWAY;
    const proxy = bench.proxy();
    await proxy.start();
    proxy.follow((config) => bench.changes.push(config));
    const waits = [];
    for (let i = 0; i < 4; i++) waits.push(await bench.ring());
    expect(waits).toEqual([7500, 15_000, 30_000, 60_000]);
    bench.answer = { status: 200, body: { concurrency: 4 } };
    await bench.ring();
    expect(bench.next?.ms).toBe(300_000);
    expect(bench.changes).toEqual([{ concurrency: 4 }]);
    expect(bench.lines).toHaveLength(1);
  });

  it('ends with stop', async () => {
    const bench = new Bench();
    const proxy = bench.proxy();
    await proxy.start();
    proxy.follow(() => {});
    const { run } = bench.next!;
    proxy.stop();
    expect(bench.next).toBeUndefined();
    run();
    for (let turn = 0; turn < 100; turn++) await Promise.resolve();
    expect(bench.next).toBeUndefined();
    expect(bench.asked.at(-1)!.options.signal?.aborted).toBe(true);
  });
});

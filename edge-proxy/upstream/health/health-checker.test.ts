import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HealthCheck } from '../../../shared/xds/cluster.ts';
import { MemoryRuntime, Wire } from '../../http/testing/memory-network.ts';
import { compileHealthCheck } from '../../xds/cluster/compile-health-check.ts';
import { Host, type HostState } from '../host.ts';
import {
  type CheckResult,
  type CheckRules,
  HealthChecker,
  PASSED,
  type Probe,
  REFUSED,
  UNANSWERED,
} from './health-checker.ts';

const rules: CheckRules = {
  timeoutMs: 100,
  intervalMs: 1000,
  unhealthyMs: 2000,
  healthyEdgeMs: 10,
  unhealthyEdgeMs: 20,
  noTrafficMs: 60_000,
  noTrafficHealthyMs: 50_000,
  initialJitterMs: 0,
  jitterMs: 0,
  jitterPercent: 0,
  healthyThreshold: 2,
  unhealthyThreshold: 3,
};
const good = PASSED;
const bad = UNANSWERED;

function makeHost(port = 80): Host {
  return new Host(
    {
      address: '10.0.0.1',
      port,
      hostname: '',
      weight: 1,
      priority: 0,
      locality: '',
      tls: () => undefined,
      metadata: undefined,
      edsHealth: 'UNKNOWN',
    },
    new Map<string, HostState>(),
    0,
  );
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setup(over: Partial<CheckRules> = {}, traffic = true) {
  const host = makeHost();
  const asked: ((result: CheckResult) => void)[] = [];
  const events: boolean[] = [];
  let given = 0;
  const probe: Probe = {
    check(done) {
      asked.push(done);
      return () => void given++;
    },
    close() {},
  };
  const counts = { attempt: 0, success: 0, failure: 0, networkFailure: 0 };
  const checker = new HealthChecker({ ...rules, ...over }, () => probe, {
    counts,
    random: () => 0.5,
    now: () => 7,
    hadTraffic: () => traffic,
    changed: (_, healthy) => void events.push(healthy),
  });
  checker.watch([host]);
  /** Answers the check under way; fails unless one is. */
  const answer = (result: CheckResult) => {
    expect(asked).toHaveLength(1);
    asked.shift()!(result);
  };
  return { host, asked, events, checker, answer, counts, gaveUp: () => given };
}

describe('verdicts', () => {
  it('come with the first answer, then with the thresholds', () => {
    const { host, events, answer } = setup();
    vi.advanceTimersByTime(0);
    answer(good);
    expect([host.state.failedActiveCheck, host.state.since]).toEqual([false, 7]);
    vi.advanceTimersByTime(1000);
    answer(bad);
    vi.advanceTimersByTime(20);
    answer(bad);
    expect(events).toEqual([true]);
    vi.advanceTimersByTime(20);
    answer(bad);
    expect(events).toEqual([true, false]);
    vi.advanceTimersByTime(2000);
    answer(good);
    expect(host.state.failedActiveCheck).toBe(true);
    vi.advanceTimersByTime(10);
    answer(good);
    expect(events).toEqual([true, false, true]);
  });

  it('a single good answer ends the count of bad ones', () => {
    const { events, answer } = setup();
    vi.advanceTimersByTime(0);
    answer(good);
    for (let i = 0; i < 4; i++) {
      vi.advanceTimersByTime(1000);
      answer(bad);
      vi.advanceTimersByTime(20);
      answer(bad);
      vi.advanceTimersByTime(20);
      answer(good);
    }
    expect(events).toEqual([true]);
  });

  it('a status that says so counts at once', () => {
    const { host, answer } = setup();
    vi.advanceTimersByTime(0);
    answer(good);
    vi.advanceTimersByTime(1000);
    answer(REFUSED);
    expect(host.state.failedActiveCheck).toBe(true);
  });

  it('no answer in time is a bad one', () => {
    const { host, events, gaveUp } = setup();
    vi.advanceTimersByTime(0);
    vi.advanceTimersByTime(100);
    expect([host.state.failedActiveCheck, events, gaveUp()]).toEqual([true, [false], 1]);
  });

  it('are counted', () => {
    const { counts, answer } = setup();
    vi.advanceTimersByTime(0);
    answer(good);
    vi.advanceTimersByTime(1000);
    answer(REFUSED);
    vi.advanceTimersByTime(2000);
    answer(bad);
    vi.advanceTimersByTime(2000 + 100);
    expect(counts).toEqual({ attempt: 4, success: 1, failure: 3, networkFailure: 2 });
  });

  it('tell of degraded hosts', () => {
    const { host, events, answer } = setup();
    vi.advanceTimersByTime(0);
    answer({ ...good, degraded: true });
    expect([host.state.failedActiveCheck, host.state.degraded, events.length]).toEqual([false, true, 2]);
  });
});

it('asks seldom while there is no traffic, with jitter as configured', () => {
  const { asked, answer } = setup({ jitterMs: 1000, jitterPercent: 10 }, false);
  vi.advanceTimersByTime(0);
  answer(good);
  vi.advanceTimersByTime(50_000 + 500 + 2499);
  expect(asked).toHaveLength(0);
  vi.advanceTimersByTime(1);
  answer(bad);
});

it('stops with the host, and with the cluster', () => {
  const { asked, checker, host, gaveUp } = setup();
  vi.advanceTimersByTime(0);
  checker.watch([]);
  expect(gaveUp()).toBe(1);
  asked.shift()!(bad);
  expect(host.state.failedActiveCheck).toBeUndefined();
  vi.advanceTimersByTime(100_000);
  expect(asked).toHaveLength(0);
});

describe('questions', () => {
  const base = { timeout: '1s', interval: '1s', healthyThreshold: 1, unhealthyThreshold: 1 };
  async function ask(config: object, answers: (string | undefined)[]) {
    vi.useRealTimers();
    const runtime = new MemoryRuntime();
    const wires: Wire[] = [];
    await runtime.listen({ address: '10.0.0.1', port: 80 }, (connection) => void wires.push(new Wire(connection)));
    const check = HealthCheck.parse({ ...base, ...config });
    const { makeProbe } = compileHealthCheck(
      check,
      { name: 'cluster', http2: false },
      { connect: (...args) => runtime.connect(...args) },
    );
    const probe = makeProbe(makeHost());
    const results: CheckResult[] = [];
    for (const answer of answers) {
      await new Promise<void>((done) => {
        probe.check((result) => {
          results.push(result);
          done();
        });
        const reply = async () => {
          while (wires.length === 0) await new Promise((again) => setTimeout(again, 1));
          const wire = wires[wires.length - 1]!;
          if ('httpHealthCheck' in config) await wire.saw('\r\n\r\n');
          else await wire.saw('?');
          if (answer === undefined) wire.connection.destroy();
          else wire.send(answer);
        };
        void reply();
      });
    }
    probe.close();
    return { results, wires };
  }

  it('HTTP: status, degraded, connection kept', async () => {
    const { results, wires } = await ask(
      {
        httpHealthCheck: {
          path: '/healthz',
          host: 'health.test',
          expectedStatuses: [{ start: 200, end: 300 }],
          retriableStatuses: [{ start: 503, end: 504 }],
          requestHeadersToAdd: [{ header: { key: 'x-check', value: 'yes' } }],
        },
      },
      [
        'HTTP/1.1 204 No Content\r\n\r\n',
        'HTTP/1.1 200 OK\r\nx-envoy-degraded: 1\r\ncontent-length: 0\r\n\r\n',
        'HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n',
      ],
    );
    expect(results).toEqual([good, { ...good, degraded: true }, { ...REFUSED, immediate: false }]);
    expect(wires).toHaveLength(1);
    expect(wires[0]!.text).toContain(
      'GET /healthz HTTP/1.1\r\nhost: health.test\r\nuser-agent: Envoy/HC\r\nx-check: yes\r\n\r\n',
    );
  });

  it('HTTP: another status is final, a lost connection is not', async () => {
    const config = { httpHealthCheck: { path: '/' } };
    expect((await ask(config, ['HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n'])).results).toEqual([REFUSED]);
    expect((await ask(config, [undefined])).results).toEqual([bad]);
  });

  it('TCP: finds what it waits for, in order', async () => {
    const hex = (text: string) => ({ text: Buffer.from(text).toString('hex') });
    const config = { tcpHealthCheck: { send: hex('alive?'), receive: [hex('yes'), hex('ok')] } };
    expect((await ask(config, ['+yes, ok'])).results).toEqual([good]);
    expect((await ask(config, [undefined])).results).toEqual([bad]);
  });

  it.each([
    [{ grpcHealthCheck: {} }, 'grpcHealthCheck'],
    [{ tcpHealthCheck: {}, grpcHealthCheck: {} }, 'healthChecks[0]'],
    [{ httpHealthCheck: { path: '/', requestHeadersToAdd: [{ header: { key: 'Host' } }] } }, 'requestHeadersToAdd[0]'],
    [{}, 'healthChecks[0]'],
    [{ httpHealthCheck: { path: 'x' } }, 'httpHealthCheck.path'],
    [{ tcpHealthCheck: { send: { text: 'xyz' } } }, 'tcpHealthCheck.send.text'],
    [{ timeout: '0s', tcpHealthCheck: {} }, 'timeout'],
  ])('refused: %j', (config, path) => {
    const check = HealthCheck.parse({ ...base, ...config });
    expect(() => compileHealthCheck(check, { name: 'c', http2: false }, { connect: () => ({}) as never })).toThrow(
      expect.objectContaining({ path: expect.stringContaining(path) }),
    );
  });
});

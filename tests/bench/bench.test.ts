import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { LINUX, ROOT, temporaryFolder } from '../kit/environment.ts';
import { run } from '../kit/process.ts';
import { readWrk } from './load.ts';
import { cpuOf, processTree, residentOf } from './process-stats.ts';
import { judge, ratios } from './report.ts';

const REPORT = `Running 3s test @ http://127.0.0.1:8001/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   900.00us  1.00ms   59.35ms   88.10%
  Latency Distribution
     50%  900.00us
     75%    1.20ms
     90%    2.00ms
     99%   16.84ms
  82000 requests in 3.01s, 92.5MB read
  Socket errors: connect 0, read 1, write 2, timeout 0
  Non-2xx or 3xx responses: 5
Requests/sec:  27312.00
Transfer/sec:     30.70MB
`;

describe('the benchmark harness', () => {
  it('reads what wrk prints', () => {
    const made = readWrk(REPORT);
    expect(made).toEqual({ done: 81995, bytes: 92.5 * 1024 ** 2, errors: 8, seconds: 3.01, p50Us: 900, p99Us: 16840 });
    expect(() => readWrk('unable to connect')).toThrow(/did not report/);
  });

  it('judges medians against the peer of the same run', () => {
    const round = { cpuUs: 0, perSecond: 1, p50Us: 1, p99Us: 1, rssMb: 1, errors: 0, perConnectionKb: 0 };
    const peer = (name: string, cpuUs: number) => ({ name, idleMb: 50, rounds: [], median: { ...round, cpuUs } });
    const peers = [peer('envoy', 50), peer('nginx', 20), peer('tulle-bun', 20), peer('tulle-node', 40)];
    const result = { name: 'sidecar', what: '', unit: 'request', peers, skipped: [] };
    expect(ratios(result)['envoy']).toEqual({ envoy: 1, nginx: 0.4, 'tulle-bun': 0.4, 'tulle-node': 0.8 });
    const met = Object.fromEntries(
      judge([result]).map((one) => [`${one.runtime} ${one.figure} ${one.against}`, one.met]),
    );
    expect(met).toEqual({
      'bun cpuUs envoy': true,
      'node cpuUs envoy': false,
      'bun cpuUs nginx': true,
      'node cpuUs nginx': false,
      'bun idleMb undefined': false,
      'node idleMb undefined': true,
    });
  });
});

describe.skipIf(!LINUX)('on Linux', () => {
  const folder = temporaryFolder();
  afterAll(() => folder.dispose());

  it('reads CPU time and memory of a process tree', async () => {
    expect(processTree(process.pid)).toContain(process.pid);
    const before = cpuOf(process.pid);
    while (cpuOf(process.pid) - before < 50_000) Math.hypot(3, 4);
    expect(residentOf(process.pid)).toBeGreaterThan(20 * 1024 ** 2);
  });

  it('measures a plain proxy and WebSockets, and says what it found', async () => {
    const file = join(folder.path, 'bench.json');
    const args = [
      ...[join(ROOT, 'tests/bench/run.mjs'), '--scenario', 'plain,websocket', '--peers', 'tulle-node,floor-node'],
      ...['--runtime', 'node', '--rounds', '1', '--seconds', '1', '--warm', '0.1', '--json', file],
      ...['--validate', '1'],
    ];
    const { code, out, error } = await run(process.execPath, args, { env: { NO_COLOR: '1' }, limitMs: 600_000 });
    expect(code, error).toBe(0);
    expect(out).toContain('plain: HTTP/1.1, 1 KB answers, one route');
    interface Document {
      validate: { resources: number; runs: number; bestMs: number; met: boolean };
      ownCode: { runtime: string; scenario: string; cpuUs: number }[];
      scenarios: {
        name: string;
        peers: { name: string; idleMb: number; median: { cpuUs: number; perSecond: number; errors: number } }[];
      }[];
    }
    const { scenarios, validate, ownCode } = JSON.parse(readFileSync(file, 'utf8')) as Document;
    const names = scenarios.map(({ name, peers }) => [name, peers.map((peer) => peer.name).sort()]);
    expect(names).toEqual([
      ['plain', ['floor-node', 'tulle-node']],
      ['websocket', ['tulle-node']],
    ]);
    expect(validate).toMatchObject({ resources: 1000, runs: 1 });
    expect(validate.met).toBe(validate.bestMs < 1500);
    expect(ownCode.map(({ runtime, scenario }) => `${runtime} ${scenario}`)).toEqual(
      ['plain', 'sidecar', 'http2-plain', 'http2-sidecar'].map((scenario) => `node ${scenario}`),
    );
    for (const { cpuUs } of ownCode) expect(cpuUs).toBeGreaterThan(0.1);
    for (const { peers } of scenarios)
      for (const { idleMb, median } of peers) {
        expect(idleMb).toBeGreaterThan(20);
        expect(median.cpuUs).toBeGreaterThan(1);
        expect(median.perSecond).toBeGreaterThan(1);
        expect(median.errors).toBe(0);
      }
  });
});

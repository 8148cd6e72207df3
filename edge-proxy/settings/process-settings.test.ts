import { describe, expect, it } from 'vitest';
import { processSettings, restartNeeded } from './process-settings.ts';

const HOST = { cores: 8, startWorker: () => {} };
const taken = (
  flags: Parameters<typeof processSettings>[0],
  config: Parameters<typeof processSettings>[1],
  host: Parameters<typeof processSettings>[2] = HOST,
) => {
  const lines: string[] = [];
  return { ...processSettings(flags, config, host, (line) => lines.push(line)), lines };
};

describe('what a process takes', () => {
  it.each([
    ['nothing said', {}, {}, 1],
    ['ProxyConfig', {}, { concurrency: 3 }, 3],
    ['0: every core', {}, { concurrency: 0 }, 8],
    ['the flag over ProxyConfig', { concurrency: 2 }, { concurrency: 3 }, 2],
    ['the flag 1 over every core', { concurrency: 1 }, { concurrency: 0 }, 1],
  ])('workers: %s', (_, flags, config, workers) => expect(taken(flags, config)).toMatchObject({ workers, lines: [] }));

  it('no more workers than the flag could ask for, and says so', () => {
    expect(taken({}, { concurrency: 65 })).toMatchObject({
      workers: 64,
      lines: [expect.stringContaining('concurrency 65')],
    });
    expect(taken({}, { concurrency: 0 }, { cores: 128, startWorker: () => {} })).toMatchObject({ workers: 64 });
  });

  it('one, where the runtime has no worker processes, and says so', () => {
    expect(taken({}, { concurrency: 2 }, { cores: 8 })).toMatchObject({
      workers: 1,
      lines: [expect.stringContaining('concurrency 2: this runtime cannot')],
    });
    expect(taken({}, { concurrency: 0 }, { cores: 1 })).toMatchObject({ workers: 1, lines: [] });
  });

  it('drains: flags, then ProxyConfig, then Istio', () => {
    const config = { drainDuration: '9s', terminationDrainDuration: '1.5s' };
    const both = ({ drainMs, terminationDrainMs }: { drainMs: number; terminationDrainMs: number }) => [
      drainMs,
      terminationDrainMs,
    ];
    expect(both(taken({}, {}))).toEqual([45_000, 5000]);
    expect(both(taken({}, config))).toEqual([9000, 1500]);
    expect(both(taken({ 'drain-seconds': 0 }, config))).toEqual([9000, 0]);
    expect(both(taken({ 'drain-time-seconds': 1 }, config))).toEqual([1000, 1500]);
    // A timer takes 2^31 ms at most; beyond it fires at once.
    const endless = taken({}, { drainDuration: '9999999s' });
    expect(endless).toMatchObject({ drainMs: 99_999_000, lines: [expect.stringContaining('drainDuration 9999999s')] });
  });
});

it('the limit of connections: the flag, else the mesh, else none', () => {
  const limit = (flags: object, config: object) => processSettings(flags, config, { cores: 1 }).maxConnections;
  expect(limit({}, {})).toBeUndefined();
  expect(limit({}, { maxConnections: 9 })).toBe(9);
  expect(limit({ 'max-connections': 3 }, { maxConnections: 9 })).toBe(3);
});

it('names what needs a restart', () => {
  const running = {
    workers: 1,
    drainMs: 45_000,
    terminationDrainMs: 5000,
    maxConnections: undefined,
    statsCompression: true,
  };
  expect(restartNeeded(running, { ...running })).toEqual([]);
  expect(
    restartNeeded(running, {
      workers: 2,
      drainMs: 45_000,
      terminationDrainMs: 0,
      maxConnections: 9,
      statsCompression: false,
    }),
  ).toEqual([
    'proxy config: concurrency is now 2; 1 is in force until the next start',
    'proxy config: terminationDrainDuration is now 0ms; 5000ms is in force until the next start',
    'proxy config: connectionSettings.globalDownstreamConnectionLimit is now 9; no limit is in force until the next start',
    'proxy config: statsCompression is now false; true is in force until the next start',
  ]);
});

import { afterEach, describe, expect, it } from 'vitest';
import type { AttemptRecord, RequestObserver } from '../request-observer.ts';
import { closeAll, forward, get, makeCluster, ok, plan, setup } from './testing.ts';

afterEach(closeAll);

describe('observers', () => {
  /** Each event as one line; `attemptOutcome` is what outlier detection sees. */
  function recorder(lines: string[], clock: () => number = () => 0) {
    const attempt = ({ number, cause, endpoint: { port } }: AttemptRecord) => `${number} ${cause} :${port}`;
    return {
      started: ({ path }) => lines.push(`started ${path}`),
      routed: ({ route }) => lines.push(`routed ${route?.name ?? 'nowhere'}`),
      attemptStarted: (_, one) => lines.push(`attempt ${attempt(one)}`),
      attemptOutcome: (_, one, outcome) => lines.push(`outcome ${one.number} ${outcome}`),
      attemptEnded: (_, one) => {
        lines.push(`ended ${attempt(one)} ${one.status} ${one.end}`);
        if (one.startMs <= 0 || one.endMs < one.startMs || one.endMs > clock() + 1) lines.push('wrong times');
      },
      responseStarted: ({ responseCode }) => lines.push(`response ${responseCode}`),
      finished: (request) => {
        lines.push(`finished ${request.responseCode}`);
        if (request.endMs < request.startMs) lines.push('wrong end');
      },
    } satisfies RequestObserver;
  }

  it('hear every attempt with its endpoint, cause, times and end', async () => {
    const lines: string[] = [];
    const { connect, backend, cluster } = setup({
      route: forward({ retry: plan }),
      cluster: makeCluster([66, 1, 2]),
      options: { observers: [recorder(lines, () => performance.now())] },
    });
    const client = connect().send(get);
    const first = await backend();
    await first.saw('\r\n\r\n');
    first.send('HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\n');
    const second = await backend();
    await second.saw('\r\n\r\n');
    second.send(ok);
    await client.saw('hi');
    expect(lines).toEqual([
      'started /a',
      'routed r',
      'attempt 1 first :66',
      'outcome 1 connect-failure',
      'ended 1 first :66 0 remote_connection_failure',
      'attempt 2 retry :1',
      'outcome 2 503',
      'ended 2 retry :1 503 discarded',
      'attempt 3 retry :2',
      'outcome 3 200',
      'response 200',
      'ended 3 retry :2 200 complete',
      'finished 200',
    ]);
    // Outlier detection subscribes to the same events.
    expect((cluster as ReturnType<typeof makeCluster>).reports).toEqual([
      [66, 'connect-failure'],
      [1, 503],
      [2, 200],
    ]);
  });

  it('hear a hedged attempt, and that the slow one was given up', async () => {
    const lines: string[] = [];
    const { connect, backend } = setup({
      route: forward({ retry: { ...plan, hedge: true }, perTryMs: 5 }),
      cluster: makeCluster([1, 2]),
      options: { observers: [recorder(lines, () => performance.now())] },
    });
    const client = connect().send(get);
    await (await backend()).saw('\r\n\r\n');
    const hedge = await backend();
    await hedge.saw('\r\n\r\n');
    hedge.send(ok);
    await client.saw('hi');
    const ends = lines.filter((line) => line.startsWith('ended') || line.startsWith('attempt'));
    expect(ends.slice(0, 2)).toEqual(['attempt 1 first :1', 'attempt 2 hedge :2']);
    expect(ends.slice(2).sort()).toEqual(['ended 1 first :1 0 abandoned', 'ended 2 hedge :2 200 complete']);
    expect(lines).toContain('outcome 1 timeout');
    expect(lines.at(-1)).toBe('finished 200');
  });

  it('hear of a client that leaves, and of what is no request', async () => {
    const lines: string[] = [];
    const { connect, backend } = setup({ options: { observers: [recorder(lines, () => performance.now())] } });
    const client = connect().send(get);
    await (await backend()).saw('\r\n\r\n');
    client.connection.destroy();
    const other = connect().send('GET /b HTTP/1.1\r\nHost : h\r\n\r\n');
    await other.until(() => other.ended);
    expect(lines).toEqual([
      ...['started /a', 'routed r', 'attempt 1 first :1', 'ended 1 first :1 0 abandoned', 'finished 0'],
      ...['started ', 'response 400', 'finished 400'],
    ]);
  });

  it('that fail are reported, and neither other observers nor the client notice', async () => {
    const errors: unknown[] = [];
    const lines: string[] = [];
    const failing: RequestObserver = {
      finished: () => {
        throw new Error('observer');
      },
    };
    const { connect, backend } = setup({
      options: { observers: [failing, recorder(lines)], onInternalError: (error) => errors.push(error) },
    });
    const client = connect().send(get);
    const server = await backend();
    await server.saw('\r\n\r\n');
    server.send(ok);
    await client.saw('hi');
    expect(errors).toEqual([new Error('observer')]);
    expect(lines.at(-1)).toBe('finished 200');
  });
});

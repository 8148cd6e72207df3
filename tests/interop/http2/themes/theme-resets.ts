/** Streams that a side gives up, at every stage and with every code; GOAWAY of upstreams; connections that end. */
import { CODE, data, goaway, headers, reset } from '../../../kit/http2/frames.ts';
import type { Field } from '../../../kit/http2/hpack.ts';
import { listener, prefix, staticCluster, to } from '../../harness/bootstrap-parts.ts';
import { ALONE, http2, manager, shared, speaking } from '../bootstrap.ts';
import {
  arrives,
  asksPlainly,
  type Case,
  carries,
  caseOf,
  ends,
  gets,
  type Http2Case,
  leaves,
  ok,
  request,
  type Step,
  send,
  settlesUpstream,
  type Theme,
} from '../case.ts';
import type { Http2Attempt } from '../upstreams.ts';

const f = (name: string, value: string): Field => [name, value];
const codes = Object.entries(CODE);
const head = (stream: number, more: readonly Field[] = []) => headers(stream, [f(':status', '200'), ...more]);

/** Of an upstream: resets with a code at a stage. */
const stages: Record<string, (attempt: Http2Attempt, code: number) => void | Promise<void>> = {
  'before-head': async (attempt, code) => {
    await attempt.whole();
    attempt.send(reset(attempt.stream, code));
  },
  'after-head': async (attempt, code) => {
    await attempt.whole();
    attempt.send(head(attempt.stream));
    await pause();
    attempt.send(reset(attempt.stream, code));
  },
  'mid-body': async (attempt, code) => {
    await attempt.whole();
    attempt.send(head(attempt.stream), data(attempt.stream, 'half'));
    await pause();
    attempt.send(reset(attempt.stream, code));
  },
  'after-end': async (attempt, code) => {
    await attempt.whole();
    attempt.send(...ok(attempt.stream), reset(attempt.stream, code));
  },
};
/** So that a proxy reads what was sent before by itself. */
const pause = () => new Promise<void>((done) => setTimeout(done, 50));
/** Every code before the head; three that mean different things later. */
const codesOf = (stage: string) =>
  stage === 'before-head' ? codes : codes.filter(([name]) => ['no', 'cancel', 'refused'].includes(name));

const byUpstream: Case[] = Object.entries(stages).flatMap(([stage, script]) =>
  codesOf(stage).flatMap(([name, code]) => {
    const two = (attempt: Http2Attempt) => script(attempt, code);
    const id = `up-${stage}-${name.replace('Control', '-control').toLowerCase()}`;
    return [
      { id: `${id}-h2`, listener: 'two', two, steps: [send(headers(1, request({}, [caseOf(`${id}-h2`)]), true))] },
      asksPlainly(`${id}-h1`, 'two', ['GET / HTTP/1.1', 'Host: main.test'], { two }),
    ];
  }),
);

/** The upstream answers or resets while the request is still coming. */
const early: Case[] = [
  ['whole', (s: number) => ok(s)],
  ['whole-no-error', (s: number) => [...ok(s), reset(s, CODE.no)]],
  ['whole-cancel', (s: number) => [...ok(s), reset(s, CODE.cancel)]],
  ['whole-refused', (s: number) => [...ok(s), reset(s, CODE.refused)]],
  ['head-no-error', (s: number) => [head(s), reset(s, CODE.no)]],
  ['cancel', (s: number) => [reset(s, CODE.cancel)]],
  ['refused', (s: number) => [reset(s, CODE.refused)]],
  ['413', (s: number) => [headers(s, [f(':status', '413')], true)]],
].map(([name, frames]): Http2Case => {
  const id = `early-${name as string}`;
  return {
    ...{ id, listener: 'two' },
    two: (attempt) => attempt.send(...(frames as (s: number) => Uint8Array[])(attempt.stream)),
    steps: [send(headers(1, request({ method: 'POST' }, [caseOf(id)])), data(1, 'part'))],
  };
});

/** Of a client: gives its stream up at a stage. */
type Stage = [name: string, steps: (id: string) => Step[], two?: Http2Case['two'], one?: Http2Case['one']];
const opening = (id: string, end: boolean) => send(headers(1, request({ method: 'POST' }, [caseOf(id)]), end));
const never = () => {};
const partly: Pick<Http2Case, 'two' | 'one'> = {
  two: async (attempt) => {
    await attempt.whole();
    attempt.send(head(attempt.stream), data(attempt.stream, 'half'));
  },
  one: async (attempt) => {
    await attempt.whole();
    attempt.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf', false);
  },
};
const clientStages: Stage[] = [
  ['head', (id) => [opening(id, false), arrives()], never, never],
  ['mid-body', (id) => [opening(id, false), send(data(1, 'part')), arrives(), carries('part')], never, never],
  ['whole', (id) => [opening(id, true), arrives()], never, never],
  ['response', (id) => [opening(id, true), gets('data', 1)], partly.two, partly.one],
  ['after-end', (id) => [opening(id, true), ends(1)]],
];
const byClient: Case[] = clientStages.flatMap(([name, steps, two, one]) =>
  ['two', 'one'].flatMap((on) =>
    [CODE.cancel, CODE.no, CODE.internal].map((code): Http2Case => {
      const id = `client-${name}-${code}-${on}`;
      const wait = name === 'after-end' ? [] : [settlesUpstream()];
      return {
        ...{ id, listener: on === 'two' ? 'kept' : on, awaits: [] },
        ...(two && { two }),
        ...(one && { one }),
        steps: [...steps(id), send(reset(1, code)), ...wait],
      };
    }),
  ),
);
const leaving: Case[] = clientStages.slice(0, 4).flatMap(([name, steps, two, one]) =>
  ['two', 'one'].map((on): Http2Case => {
    const id = `client-leaves-${name}-${on}`;
    return {
      ...{ id, listener: on === 'two' ? 'kept' : on, awaits: [] },
      ...(two && { two }),
      ...(one && { one }),
      steps: [...steps(id), leaves, settlesUpstream()],
    };
  }),
);

/** Streams that share a connection to the upstream; each case has a cluster of its own. */
const names: string[] = [];
const sharing = (id: string, own: Omit<Http2Case, 'id' | 'listener'>): Http2Case => {
  names.push(id);
  return { id, listener: 'streams', ...own };
};
const opens = (id: string, stream: number, more: readonly Field[] = []) =>
  headers(stream, request({ path: `/${id}` }, [caseOf(id), f('x-stream', `${stream}`), ...more]), true);
const both: Step = arrives(2);
const afterBoth =
  (act: (attempt: Http2Attempt) => void, last: (attempt: Http2Attempt) => void = () => {}) =>
  (attempt: Http2Attempt) => {
    if (attempt.number === 1) act(attempt);
    else last(attempt);
  };
const threeStreams = (id: string): Step[] => [send(opens(id, 1)), arrives(), send(opens(id, 3)), both];

const goaways: Case[] = [
  sharing('goaway-above', {
    awaits: [1, 3],
    steps: threeStreams('goaway-above'),
    two: (attempt) => {
      if (attempt.number === 2) attempt.send(goaway(1, CODE.no), ...ok(1));
      if (attempt.number > 2) attempt.send(...ok(attempt.stream));
    },
  }),
  sharing('goaway-all-below', {
    awaits: [1, 3],
    steps: threeStreams('goaway-all-below'),
    two: (attempt) => {
      if (attempt.number === 2) attempt.send(goaway(3, CODE.no), ...ok(1), ...ok(3));
    },
  }),
  sharing('goaway-graceful', {
    awaits: [1, 3, 5],
    steps: [...threeStreams('goaway-graceful'), send(opens('goaway-graceful', 5))],
    two: async (attempt) => {
      if (attempt.number === 2) {
        attempt.send(goaway(2 ** 31 - 1, CODE.no));
        await pause();
        attempt.send(goaway(3, CODE.no), ...ok(1), ...ok(3));
      }
      if (attempt.number > 2) attempt.send(...ok(attempt.stream));
    },
  }),
  ...[CODE.protocol, CODE.internal, CODE.calm].map((code) =>
    sharing(`goaway-error-${code}`, {
      awaits: [1, 3],
      steps: threeStreams(`goaway-error-${code}`),
      two: (attempt) => {
        if (attempt.number === 2) {
          attempt.send(goaway(1, code));
          attempt.peer.socket.end();
        }
      },
    }),
  ),
  sharing('goaway-none', {
    awaits: [1],
    steps: [send(opens('goaway-none', 1))],
    two: (attempt) => attempt.send(goaway(0, CODE.no)),
  }),
  sharing('goaway-then-close', {
    awaits: [1],
    steps: [send(opens('goaway-then-close', 1))],
    two: (attempt) => {
      attempt.send(goaway(1, CODE.no));
      attempt.peer.socket.end();
    },
  }),
  sharing('connection-ends', {
    awaits: [1, 3],
    steps: threeStreams('connection-ends'),
    two: afterBoth(
      () => {},
      (attempt) => attempt.peer.destroy(),
    ),
  }),
  sharing('connection-ends-mid-body', {
    awaits: [1, 3],
    steps: [
      ...threeStreams('connection-ends-mid-body'),
      gets('data', 1),
      gets('data', 3),
      ({ attempts }) => (attempts[0] as Http2Attempt).peer.destroy(),
    ],
    two: (attempt) => attempt.send(head(attempt.stream), data(attempt.stream, 'half')),
  }),
  sharing('one-resets-other-lives', {
    awaits: [1, 3],
    steps: threeStreams('one-resets-other-lives'),
    two: (attempt) => {
      if (attempt.number === 2) attempt.send(reset(1, CODE.cancel), ...ok(3));
    },
  }),
  sharing('connection-error-fells-both', {
    awaits: [1, 3],
    steps: threeStreams('connection-error-fells-both'),
    two: (attempt) => {
      if (attempt.number === 2) attempt.peer.send(data(0, 'x'));
    },
  }),
  sharing('next-after-goaway', {
    awaits: [1, 3],
    steps: [send(opens('next-after-goaway', 1)), ends(1), send(opens('next-after-goaway', 3))],
    two: (attempt) => {
      if (attempt.number === 1) attempt.send(...ok(attempt.stream), goaway(1, CODE.no));
      else attempt.send(...ok(attempt.stream));
    },
  }),
];

const sharedRoutes = names.map((name) => ({ match: { path: `/${name}` }, ...to(name) }));

/** Retries: what makes another attempt of a stream that ended. */
const retryOn: Record<string, string> = {
  refused: 'refused-stream',
  reset: 'reset',
  gateway: 'gateway-error',
  connect: 'connect-failure',
  'five-xx': '5xx',
  before: 'reset-before-request',
  none: 'retriable-4xx',
};
const ways: Record<string, (attempt: Http2Attempt) => void | Promise<void>> = {
  refused: (attempt) => attempt.send(reset(attempt.stream, CODE.refused)),
  cancelled: (attempt) => attempt.send(reset(attempt.stream, CODE.cancel)),
  internal: (attempt) => attempt.send(reset(attempt.stream, CODE.internal)),
  goaway: (attempt) => {
    attempt.send(goaway(0, CODE.no));
    attempt.peer.socket.end();
  },
  ends: (attempt) => attempt.peer.destroy(),
  malformed: (attempt) => attempt.send(headers(attempt.stream, [f('x-a', '1')], true)),
  'status-503': (attempt) => attempt.send(headers(attempt.stream, [f(':status', '503')], true)),
};
const retries: Case[] = Object.keys(retryOn).flatMap((on) =>
  Object.entries(ways).map(([way, act]): Http2Case => {
    const id = `retry-${on}-${way}`;
    return {
      ...{ id, listener: 'retries' },
      steps: [send(headers(1, request({ path: `/${on}` }, [caseOf(id)]), true))],
      two: async (attempt) => {
        await attempt.whole();
        await (attempt.number === 1 ? act(attempt) : attempt.send(...ok(attempt.stream)));
      },
    };
  }),
);
const retriesOfBodies: Case[] = Object.entries(ways)
  .slice(0, 3)
  .map(([way, act]): Http2Case => {
    const id = `retry-body-${way}`;
    return {
      ...{ id, listener: 'retries' },
      steps: [send(headers(1, request({ path: '/refused', method: 'POST' }, [caseOf(id)])), data(1, 'hello', true))],
      two: async (attempt) => {
        await attempt.whole();
        await (attempt.number === 1 ? act(attempt) : attempt.send(...ok(attempt.stream)));
      },
    };
  });
const spent: Http2Case = {
  ...{ id: 'retry-spent', listener: 'retries' },
  steps: [send(headers(1, request({ path: '/refused' }, [caseOf('retry-spent')]), true))],
  two: async (attempt) => {
    await attempt.whole();
    attempt.send(reset(attempt.stream, CODE.refused));
  },
};
const fromOld: Case[] = Object.entries(ways).map(([way, act]) =>
  asksPlainly(`retry-from-h1-${way}`, 'retries', ['GET /five-xx HTTP/1.1', 'Host: main.test'], {
    two: async (attempt) => {
      await attempt.whole();
      await (attempt.number === 1 ? act(attempt) : attempt.send(...ok(attempt.stream)));
    },
  }),
);

const retryRoutes = Object.entries(retryOn).map(([name, retry_on]) => ({
  ...prefix(`/${name}`),
  ...to('retried', { retry_policy: { retry_on, num_retries: 2, retry_back_off: { base_interval: '0.005s' } } }),
}));

export const resets: Theme = {
  listeners: [
    listener('streams', manager(sharedRoutes)),
    listener('retries', manager(retryRoutes)),
    listener('kept', manager([{ ...prefix('/'), ...to('kept') }])),
  ],
  clusters: (ports) => [
    ...names.map((name) => shared(name, ports)),
    shared('kept', ports),
    staticCluster('retried', ports.two, speaking(http2(), ALONE)),
  ],
  cases: [
    ...byUpstream,
    ...early,
    ...byClient,
    ...leaving,
    ...goaways,
    ...retries,
    ...retriesOfBodies,
    spent,
    ...fromOld,
  ],
};

/** Runs a case of HTTP/2 against a proxy and reduces what came to what two proxies must agree on. */
import { type ClientOptions, connectHttp2, type Http2Client } from '../../kit/http2/client.ts';
import { CODE } from '../../kit/http2/frames.ts';
import type { Field } from '../../kit/http2/hpack.ts';
import type { RunningProxy } from '../../kit/proxy.ts';
import { alike } from '../harness/compare.ts';
import { exchange } from '../harness/raw-client.ts';
import { type Case, type Http1Case, type Http2Case, poll } from './case.ts';
import type { Attempt, Upstreams } from './upstreams.ts';

export interface Outcome {
  readonly client: object;
  /** Each sending of the request to an upstream. */
  readonly upstream: readonly unknown[];
  readonly logs: readonly object[];
}

const UNCOMPARED = new Set(['date', 'x-envoy-upstream-service-time']);
/** Of an upstream that a proxy may still be about to give up. */
const LATE_MS = 3000;

/** @param logs how many log lines are awaited; undefined: those of the proxy that is the measure */
export async function outcomeOf(
  proxy: RunningProxy,
  given: Case,
  upstreams: Upstreams,
  logs?: number,
): Promise<Outcome> {
  const port = proxy.ports[given.listener];
  if (port === undefined) throw new Error(`${proxy.name} has no listener "${given.listener}"`);
  const attempts = upstreams.follow(given);
  const from = proxy.lines.length;
  const { found, key } = await ('steps' in given ? ofHttp2(port, given, attempts) : ofHttp1(port, given));
  await poll('attempts are over', () => attempts.every(({ over }) => over), LATE_MS).catch(() => {});
  const lines = await logged(proxy, from, key, logs);
  return {
    client: normal(found, given, port) as object,
    upstream: attempts.map((attempt) => normal(attempt.outcome(), given, port)),
    logs: normal(lines, given, port) as object[],
  };
}

async function ofHttp2(port: number, given: Http2Case, attempts: readonly Attempt[]) {
  const options: ClientOptions = {
    ...(given.settings && { settings: given.settings }),
    ...(given.opening && { opening: given.opening }),
  };
  const client = await connectHttp2(port, options);
  let failure: string | undefined;
  try {
    for (const step of given.steps) await step({ client, attempts });
    for (const stream of given.awaits ?? [1])
      await client.until(`the end of stream ${stream}`, () => client.ended(stream));
    if (!given.silent) await client.settled();
    // A connection error ends the connection, behind what was written.
    const fatal = client.events.some((event) => event.kind === 'goaway' && event.code !== 0);
    if (fatal) await client.until('the end', () => client.closed, 5000);
  } catch (error) {
    failure = (error as Error).message;
  }
  const found = { ...clientSide(client, given.announced === true), ...(failure && { failure }) };
  // With FIN: a port that is reset may be another client's at once, and the log is read by port.
  client.socket.end();
  setTimeout(() => client.destroy(), 1000).unref();
  return { found, key: `"connection":"${port}-${client.localPort}"` };
}

function clientSide(client: Http2Client, announced: boolean): object {
  const streams: Record<string, unknown[]> = {};
  const of = (stream: number) => (streams[stream] ??= []);
  for (const event of client.events) {
    if (event.kind === 'head') of(event.stream).push(sorted(event.fields));
    else if (event.kind === 'data') {
      const parts = of(event.stream);
      if (typeof parts.at(-1) === 'string') parts.push(`${parts.pop() as string}${event.text}`);
      else if (event.text !== '') parts.push(event.text);
    } else if (event.kind === 'reset') of(event.stream).push({ reset: event.code });
    if ((event.kind === 'head' || event.kind === 'data') && event.end) of(event.stream).push({ end: true });
  }
  const goaways = client.events.flatMap((event) => (event.kind === 'goaway' ? [[event.last, event.code]] : []));
  return {
    streams,
    goaways,
    end: client.closed ? 'closed' : 'open',
    ...(announced && { announced: client.announced() }),
  };
}

const sorted = (fields: readonly Field[]): Field[] =>
  fields.filter(([name]) => !UNCOMPARED.has(name)).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

async function ofHttp1(port: number, given: Http1Case) {
  const { responses, end } = await exchange(port, given.bytes, given.methods);
  const found = responses.map(({ status, headers, body }) => ({
    ...{ status, body },
    headers: headers.filter(([name]) => !UNCOMPARED.has(name)),
  }));
  return { found: { responses: found, end }, key: `"case":"${given.id}"` };
}

/** Lines of the access log from a place on, those of a connection or of a case. */
async function logged(proxy: RunningProxy, from: number, key: string, count: number | undefined): Promise<object[]> {
  const found = () => proxy.lines.slice(from).filter((line) => line.startsWith('{"') && line.includes(key));
  if (count === undefined) {
    await poll('a line of the log', () => found().length > 0, 1500).catch(() => {});
    // How many more lines of the connection come is not known: none in ten times Envoy's flush interval (kit/envoy.ts). A line
    // that comes later still is found missing here by the comparison, which fails.
    let before = -1;
    while (found().length !== before) {
      before = found().length;
      await new Promise((again) => setTimeout(again, 200));
    }
  } else await poll('lines of the log', () => found().length >= count, 5000).catch(() => {});
  return found()
    .map((line) => {
      const { connection, ...rest } = JSON.parse(line) as Record<string, unknown>;
      return Object.fromEntries(Object.entries(rest).sort());
    })
    .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** Without what is random or depends on the machine. */
function normal(value: unknown, given: Case, port: number): unknown {
  const sent = 'bytes' in given ? given.bytes : '';
  const text = JSON.stringify(value)
    .replace(/"x-envoy-expected-rq-timeout-ms","14\d{3}"/g, '"x-envoy-expected-rq-timeout-ms","15000"')
    .replaceAll(`"x-forwarded-port","${port}"`, '"x-forwarded-port","PORT"');
  return JSON.parse(alike(text, sent)) as unknown;
}

interface ClientSide {
  readonly goaways?: readonly (readonly [last: number, code: number])[];
  readonly end: string;
  readonly streams?: Readonly<Record<string, readonly object[]>>;
}

interface AttemptOutcome {
  readonly code?: number;
  readonly goaway?: number;
  readonly end: string;
}

/**
 * Whether Tulle did what Envoy did. Left out are: a GOAWAY, or the RST_STREAM of a stream that is given up, before the end of
 * a connection that Envoy ends without one; which stream a GOAWAY with an error names as the last; the log of a head that was
 * not whole when its connection failed.
 */
export function agree(envoy: Outcome, tulle: Outcome): boolean {
  return JSON.stringify(comparable(envoy, envoy)) === JSON.stringify(comparable(tulle, envoy));
}

function comparable({ client, upstream, logs }: Outcome, envoy: Outcome): object {
  const { goaways = [], ...rest } = client as ClientSide;
  const silent = (envoy.client as ClientSide).goaways?.length === 0 && rest.end === 'closed';
  const streams = silent && rest.streams && withoutResets(rest.streams);
  return {
    client: {
      ...rest,
      ...(streams && { streams }),
      goaways: silent ? [] : goaways.map(([last, code]) => (code === 0 ? [last, code] : code)),
    },
    upstream: upstream.map((attempt, i) => {
      const { code, goaway, ...same } = attempt as AttemptOutcome;
      const own = envoy.upstream[i] as AttemptOutcome | undefined;
      // A malformed response that was whole: Envoy closes the connection, and where it resets the stream is as well.
      const end = code === CODE.protocol && own?.code === undefined ? same.end.replace(', given up', '') : same.end;
      return { ...same, end, code: own?.code === undefined ? 0 : code, goaway: own?.goaway === undefined ? 0 : goaway };
    }),
    logs: logs.flatMap((line) => {
      const { details, request } = line as { details: unknown; request: string };
      const failed = /^(codec_error|http2\.unknown\.nghttp2)/.test(String(details));
      if (!failed) return [line];
      return request === '- - - -' ? [] : [{ ...line, details: 'codec_error' }];
    }),
  };
}

function withoutResets(streams: NonNullable<ClientSide['streams']>): object {
  const kept = Object.entries(streams).map(
    ([id, parts]) => [id, parts.filter((part) => !('reset' in Object(part)))] as const,
  );
  return Object.fromEntries(kept.filter(([, parts]) => parts.length > 0));
}

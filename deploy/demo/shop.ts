/**
 * The demo's applications: a front page, details, reviews v1 to v3 and ratings, in the shape of Istio's Bookinfo.
 * One small program in four roles; its only knowledge of the mesh is `http_proxy`.
 *
 *     node shop.ts ROLE PORT [VERSION]
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';

const [role = 'front', port = '0', version = 'v1'] = process.argv.slice(2);
const proxy = process.env['http_proxy'] ? new URL(process.env['http_proxy']) : undefined;

/** Headers an application passes on so that routing by user and traces hold along the whole call. */
const PASSED_ON = [
  'x-request-id',
  'traceparent',
  'tracestate',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-sampled',
  'end-user',
];

interface Reply {
  status: number;
  body: unknown;
}

/** GET through the sidecar: an absolute-form request to `http_proxy`. */
function fetchJson(url: string, from: IncomingMessage): Promise<Reply> {
  const target = new URL(url);
  const headers: Record<string, string> = { host: target.host };
  for (const name of PASSED_ON) if (typeof from.headers[name] === 'string') headers[name] = from.headers[name];
  const via = proxy ?? target;
  return new Promise((resolve) => {
    const call = request(
      {
        host: via.hostname,
        port: via.port,
        path: proxy ? url : target.pathname,
        headers,
        agent: false,
        timeout: 10_000,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', (error) => resolve({ status: 0, body: error.message }));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: decode(Buffer.concat(chunks).toString()) }),
        );
      },
    );
    call.on('timeout', () => call.destroy(new Error('timeout')));
    call.on('error', (error) => resolve({ status: 0, body: error.message }));
    call.end();
  });
}

function decode(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The caller's SPIFFE id, as the sidecar writes it into x-forwarded-client-cert. */
function callerOf(incoming: IncomingMessage): string {
  const header = incoming.headers['x-forwarded-client-cert'];
  const last = (typeof header === 'string' ? header : '').split(',').at(-1) ?? '';
  return /URI=([^;,]+)/.exec(last)?.[1] ?? '';
}

const roles: Record<string, (incoming: IncomingMessage) => Promise<Reply>> = {
  front: async (incoming) => {
    const [details, reviews] = await Promise.all([
      fetchJson('http://details:9080/details/0', incoming),
      fetchJson('http://reviews:9080/reviews/0', incoming),
    ]);
    const status = details.status === 200 && reviews.status === 200 ? 200 : 503;
    return { status, body: { service: 'front', caller: callerOf(incoming), details, reviews } };
  },
  details: async (incoming) => ({
    status: 200,
    body: { service: 'details', caller: callerOf(incoming), title: 'A Light Netting', pages: 212 },
  }),
  reviews: async (incoming) => {
    const body = { service: 'reviews', version, caller: callerOf(incoming), text: 'Fine work.' };
    if (version === 'v1') return { status: 200, body };
    const ratings = await fetchJson('http://ratings:9080/ratings/0', incoming);
    return { status: 200, body: { ...body, colour: version === 'v2' ? 'black' : 'red', ratings } };
  },
  ratings: async (incoming) => ({ status: 200, body: { service: 'ratings', caller: callerOf(incoming), stars: 5 } }),
};

const handler = roles[role];
if (!handler) throw new Error(`unknown role "${role}": must be one of ${Object.keys(roles).join(', ')}`);

const server = createServer((incoming: IncomingMessage, outgoing: ServerResponse) => {
  handler(incoming).then(
    ({ status, body }) => {
      outgoing.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    },
    (error: Error) => outgoing.writeHead(500).end(error.message),
  );
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1');
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.on(signal, () => {
    server.close(() => process.exit(0));
    // Connections that are busy now become idle, not closed.
    setInterval(() => server.closeIdleConnections(), 50);
    // One that never carried a request counts as busy to Node: a sidecar may have opened it ahead of need.
    setTimeout(() => server.closeAllConnections(), 1000);
  });

/**
 * CEL filters of access logs, in Envoy and in Tulle: one log for each expression, which writes the number of the
 * expression. The same requests give the same lines; what Envoy refuses, a proxy refuses too.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attributesWithoutValue, celRefusal, parseCel } from '../../../shared/cel/expression.ts';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, envoyErrors, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { until } from '../../kit/waiting.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { exchange } from '../harness/raw-client.ts';

/** Expressions that both read; the requests below decide which of them hold. */
const EXPRESSIONS = String.raw`
response.code >= 400
response.code == 404.0
response.code == 404u
response.code > 400.5
response.code != 200 && request.method == 'GET'
response.code in [404, 500]
response.code
request.method
request.method == 'POST' || request.url_path == '/direct'
'a' + 'b' == 'ab'
[1] + [2] == [1, 2]
request.headers['nope'] == 'x'
!(request.headers['nope'] == 'x')
true || request.headers['nope'] == 'x'
request.headers['nope'] == 'x' || true
request.headers['nope'] == 'x' && false
!(request.headers['nope'] == 'x' && false)
request.headers['nope'] == 'x' ? true : true
has(request.headers.nope)
!has(request.headers.nope)
has(request.nope)
!has(request.nope)
has(request.method)
has(nope.x)
nope == 1
request.nope == 'x'
'x-a' in request.headers
!('y' in request.headers)
size(request.headers) > 4
request.headers.size() > 0
request.headers['x-a'] == '1'
request.headers['X-A'] == '1'
request.headers['x-city'] == 'é'
request.headers['x-city'] == 'é' && size(request.headers['x-city']) == 1
request.headers['x-city'].matches('^.$')
request.headers[':path'].startsWith('/direct')
request.headers[':method'] == 'GET'
request.headers[':authority'] == 'h.example'
request.headers['host'] == 'h.example'
request.headers['x-a'] in ['1', '2']
request.headers == {}
request['method'] == 'GET'
request.path.matches('^/api/v[0-9]+')
request.path.startsWith('/api')
request.path.contains('v1')
request.path.endsWith('a=1')
request.path.size() > 10
request.url_path == '/api/v1/x'
request.query == 'a=1'
request.host == 'h.example'
request.scheme == 'http'
request.protocol == 'HTTP/1.1'
request.useragent == 'ua'
has(request.useragent)
has(request.referer)
request.referer == ''
request.size == 0
request.size == 4
request.total_size > 10
request.duration >= duration('0s')
request.duration < duration('10s')
request.time > timestamp('2020-01-01T00:00:00Z')
request.time.getFullYear() > 2020
request.time + duration('1h') > request.time
response.size == 6
response.total_size > 6
response.flags == 0
response.grpc_status == 12
response.grpc_status == 2
has(response.grpc_status)
response.code_details == 'direct_response'
response.code_details == 'via_upstream'
response.headers[':status'] == '404'
response.headers['content-length'] == '6'
'server' in response.headers
response.trailers.size() == 0
connection.mtls
!connection.mtls
connection.mtls == false
connection.requested_server_name == ''
has(connection.requested_server_name)
connection.subject_peer_certificate == ''
source.port > 0
source.address.startsWith('127.0.0.1:')
destination.port > 0
destination.address.startsWith('127.0.0.1:')
upstream.address.startsWith('127.0.0.1:')
upstream.address == ''
has(upstream.address)
upstream.port > 0
upstream.request_attempt_count == 1
xds.route_name == 'direct'
xds.route_name == 'app'
xds.cluster_name == 'app'
has(xds.cluster_name)
has(xds.cluster_name) && xds.virtual_host_name == 'v'
metadata.filter_metadata.size() == 0
'x' in metadata.filter_metadata
metadata.filter_metadata['x']['y'] == 'z'
filter_state['x'] == b''
'x' in filter_state
type(response.code) == int
type(request.method) == string
1 + 1 == 2
1 + 1.0 == 2.0
1 / 0 == 1
9223372036854775807 + 1 > 0
-5 % 3 == -2
5 / 2 == 2
7 - 2 * 3 == 1
int('5') == 5
int('x') == 5
int(2.9) == 2
uint(5) == 5u
double(5) == 5.0
double('1.5') == 1.5
bytes('a') == b'a'
bool('true')
{'a': 1}['a'] == 1
{'a': 1}.a == 1
{'a': 1}.size() == 1
[1, 2][1] == 2
[1, 2][5] == 2
[1, 2] == [1, 2]
'a' < 'b'
b'a' < b'b'
true > false
response.code > 400 ? true : false
null == null
response.code == null
'a' == 1
'a' != 1
size('héllo') == 5
size(b'h\xff') == 2
duration('1.5s') == duration('1500ms')
timestamp('2020-01-01T00:00:00Z') + duration('1h') == timestamp('2020-01-01T01:00:00Z')
matches(request.path, '^/api')
startsWith(request.path, '/a')
dyn(1) == 1
request.headers['x-a'].matches('1') && response.code >= 400
`
  .trim()
  .split('\n');

/** Refused by both. */
const REFUSED = [
  'response.code >=',
  'response.code & 1',
  "string(destination.port) == '80'",
  '[1, 2].exists(x, x > 1)',
  "'A'.lowerAscii() == 'a'",
  "'abc'.substring(1) == 'bc'",
  "'abc'.matches('(')",
  "has(request['method'])",
  'max(1, 2) == 2',
];

const FILTER = 'type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter';

const logOf = (expression: string, line: string) => ({
  name: 'envoy.access_loggers.stdout',
  filter: { extensionFilter: { name: 'cel', typedConfig: { '@type': FILTER, expression } } },
  typedConfig: {
    '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
    logFormat: { textFormatSource: { inlineString: `${line}\n` } },
  },
});

function bootstrap(accessLog: readonly object[], port: number): object {
  const routes = [
    {
      name: 'direct',
      match: { prefix: '/direct' },
      directResponse: { status: 404, body: { inlineString: 'absent' } },
    },
    { name: 'app', match: { prefix: '/api' }, route: { cluster: 'app' } },
  ];
  const manager = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    statPrefix: 'h',
    accessLog,
    routeConfig: { name: 'r', virtualHosts: [{ name: 'v', domains: ['*'], routes }] },
    httpFilters: [
      {
        name: 'envoy.filters.http.router',
        typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  const app = { endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: port } } } };
  return {
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: 0 } } },
    staticResources: {
      listeners: [
        {
          name: 'l',
          address: { socketAddress: { address: '127.0.0.1', portValue: 0 } },
          filterChains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typedConfig: manager }] },
          ],
        },
      ],
      clusters: [
        {
          name: 'app',
          type: 'STATIC',
          connectTimeout: '5s',
          loadAssignment: { clusterName: 'app', endpoints: [{ lbEndpoints: [app] }] },
        },
      ],
    },
  };
}

const REQUESTS: readonly string[] = [
  'GET /direct HTTP/1.1\r\nhost: h.example\r\nx-a: 1\r\nuser-agent: ua\r\nx-city: \u00c3\u00a9\r\nconnection: close\r\n\r\n',
  'GET /api/v1/x?a=1 HTTP/1.1\r\nhost: h.example\r\nconnection: close\r\n\r\n',
  'POST /api/v1/x HTTP/1.1\r\nhost: other\r\nx-a: 2\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody',
  'GET /none HTTP/1.1\r\nhost: h.example\r\nreferer: http://r/\r\nconnection: close\r\n\r\n',
];

const LAST = 'last of a request';

/** For each request the numbers of the expressions that hold. */
async function holding(proxy: RunningProxy): Promise<string[][]> {
  const found: string[][] = [];
  for (const [i, request] of REQUESTS.entries()) {
    await exchange(proxy.ports['l']!, request, [request.slice(0, request.indexOf(' '))]);
    await until('the log is written', () => proxy.lines.filter((line) => line === LAST).length > i);
    const lines = proxy.lines.filter((line) => line === LAST || /^#\d+$/.test(line));
    const ends = lines.flatMap((line, at) => (line === LAST ? [at] : []));
    found.push(lines.slice(i === 0 ? 0 : ends[i - 1]! + 1, ends[i]));
  }
  return found;
}

describe.skipIf(!ENVOY)('CEL filters of access logs, in Envoy and in Tulle', () => {
  const folder = temporaryFolder();
  const named = (lines: readonly string[]) => lines.map((line) => EXPRESSIONS[Number(line.slice(1))]);
  const config = () => bootstrap([...EXPRESSIONS.map((one, i) => logOf(one, `#${i}`)), logOf('true', LAST)], echo.port);
  let echo: Echo;
  let expected: string[][];

  beforeAll(async () => {
    echo = await startEcho('app');
    const envoy = await startEnvoy(config(), folder.path);
    expected = await holding(envoy).finally(() => envoy.stop());
  }, 60_000);
  afterAll(() => {
    echo.stop();
    folder.dispose();
  });

  it('are many, and each holds or not', () => {
    expect(EXPRESSIONS.length).toBeGreaterThan(120);
    const ever = new Set(expected.flat());
    expect(ever.size).toBeGreaterThan(60);
    expect(ever.size).toBeLessThan(EXPRESSIONS.length);
  });

  it('are refused alike', () => {
    const refusedByEnvoy = (expression: string): boolean => {
      const file = join(folder.path, 'refused.json');
      writeFileSync(file, JSON.stringify(bootstrap([logOf(expression, '')], echo.port)));
      return envoyErrors(file) !== '';
    };
    for (const expression of REFUSED) {
      expect(refusedByEnvoy(expression), expression).toBe(true);
      expect(celRefusal(expression), expression).toBeDefined();
    }
    for (const expression of EXPRESSIONS) expect(celRefusal(expression), expression).toBeUndefined();
  }, 60_000);

  it.each(RUNTIMES)(
    'hold for the same requests on %s',
    async (runtime) => {
      mkdirSync(join(folder.path, runtime), { recursive: true });
      const tulle = await startTulle(runtime, config(), join(folder.path, runtime));
      const found = await holding(tulle).finally(() => tulle.stop());
      expect(found.map(named)).toEqual(expected.map(named));
    },
    60_000,
  );

  it('what is no attribute is known beforehand', () => {
    const without = EXPRESSIONS.filter((one) => attributesWithoutValue(parseCel(one)).length > 0);
    expect(without.every((one) => /nope/.test(one))).toBe(true);
  });
});

import { describe, expect, it } from 'vitest';
import { attributesWithoutValue, CelError, celRefusal, parseCel } from '../../shared/cel/expression.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import { requestDouble } from '../http/testing/request-double.ts';
import { connectionRecord } from '../tcp/connection-record.ts';
import { readEndpointWorkload } from '../upstream/workload-metadata.ts';
import { compileCel, compileCondition } from './compile.ts';
import { Duration, labelText } from './values.ts';

const START = Date.parse('2026-11-28T10:20:30.500Z');
const clock = (ms: number): number => START + ms;

function request() {
  const responseHeaders = new HeaderMap();
  responseHeaders.append('x-served', 'é'.normalize());
  return requestDouble({
    method: 'POST',
    path: '/books?id=7',
    authority: 'shop.example',
    headers: { 'x-user': 'ann', 'User-Agent': 'curl/8', 'x-city': '\u00c3\u00a9' },
    downstream: { serverName: 'sni', peerUris: ['spiffe://cluster.local/ns/shop/sa/front'] },
    downstreamPeer: { principal: '', workload: readEndpointWorkload('front-v1;shop;front;v1;c1'), sentHeaders: true },
    metadata: { f: { n: 1.5, s: 't', l: [1, 'a'], o: { k: true } } },
    responseCode: 404,
    responseStatus: 404,
    responseHeaders,
    details: 'via_upstream',
    flags: ['NR'],
    endMs: 250,
    bytesSent: 5,
  });
}

const evaluated = (expression: string, record = request()) => compileCel(expression, clock)(record);

describe('an expression', () => {
  it.each([
    ['response.code >= 400 && request.method == "POST"', true],
    ['response.code == 404.0', true],
    ['response.code != 404', false],
    ['404 == response.code', true],
    ['request.headers["X-User"]', 'ann'],
    ['request.headers.x-user', undefined],
    ["request.headers['x-city'] == 'é'", true],
    ["size(request.headers['x-city'])", 1n],
    ["request.headers['x-city'].matches('^.$')", true],
    ["request.headers['none'] == ''", undefined],
    ["!(request.headers['none'] == '')", undefined],
    ["request.headers['none'] == '' || true", true],
    ["false && request.headers['none'] == ''", false],
    ["request.headers['none'] == '' && false", false],
    ['has(request.headers.none)', false],
    ['has(request.useragent) && !has(request.referer)', true],
    ['has(request.nope) || has(response.nope)', false],
    ['has(nope.nope)', undefined],
    ['request.nope', undefined],
    ["'x-user' in request.headers && !('none' in request.headers)", true],
    ['request.duration', new Duration(250_000_000n)],
    ["request.duration > duration('0.2s') && request.duration < duration('1m')", true],
    ['request.time.getFullYear()', 2026n],
    ["request.time > timestamp('2026-01-01T00:00:00Z')", true],
    ["metadata.filter_metadata['f']['s']", 't'],
    ['metadata.filter_metadata.f.n', 1.5],
    ['metadata.filter_metadata.f.o.k', true],
    ["metadata.filter_metadata['g']['s']", undefined],
    ['filter_state.downstream_peer.workload', 'front-v1'],
    ["filter_state['upstream_peer'].workload", undefined],
    ['1 + 2 * 3 - 4 / 2 % 2', 7n],
    ['9223372036854775807 + 1', undefined],
    ['1 / 0', undefined],
    ['1.0 / 0.0', Number.POSITIVE_INFINITY],
    ["'a' + 'b'", undefined],
    ['[1] + [2]', undefined],
    ['response.code > 400 ? "bad" : "good"', 'bad'],
    ['response.code in [404, 500]', true],
    ['{"a": 1}.a + {"b": 2}["b"]', 3n],
    ['[1, 2][5]', undefined],
    ['type(response.code) == int', true],
    ['int("5") + int(2.9)', 7n],
    ['uint(3) == 3u && 3u == 3', true],
    ['double("x")', undefined],
    ["request.url_path.startsWith('/b') && request.path.contains('id=') && 'abc'.endsWith('c')", true],
    ["duration('1h30m').getMinutes()", 90n],
    ["timestamp('2026-01-01T00:00:00Z') + duration('24h') == timestamp('2026-01-02T00:00:00Z')", true],
    ['response.flags', 256n],
  ])('%s', (expression, value) => {
    expect(evaluated(expression)).toEqual(value);
  });

  it('of a connection has no request', () => {
    const record = connectionRecord(request().downstream, 0);
    expect(compileCel('request.path', clock)(record)).toBeUndefined();
    expect(compileCondition('source.port == 4000 && connection.requested_server_name == "sni"', clock)(record)).toBe(
      true,
    );
    expect(compileCondition("request.headers['a'] == 'b' || size(request.headers) == 0", clock)(record)).toBe(true);
  });

  it('holds only where it is true', () => {
    for (const expression of ['response.code', "request.headers['none'] == 'a'", 'false'])
      expect(compileCondition(expression, clock)(request())).toBe(false);
  });

  it('is refused, with the reason', () => {
    for (const [expression, reason] of [
      ['response.code >=', 'must be a CEL expression'],
      ['"a".substring(1)', 'substring(): there is no such function here'],
      ['string(1)', 'string(): there is no such function here'],
      ['[1].exists(x, x > 0)', 'exists(): loops'],
      ["'a'.matches(request.path)", 'matches(): the pattern must be a text in quotes'],
      ["'a'.matches('(')", 'matches(): '],
      ["has(request['path'])", 'has(): takes one field'],
      ['size(1, 2)', 'size(): takes 1'],
      [`'${'a'.repeat(5000)}' == ''`, 'must be at most 4096 characters long'],
      [`${'('.repeat(200)}1${')'.repeat(200)}`, 'must be a CEL expression'],
    ] as const)
      expect(celRefusal(expression), expression).toContain(reason);
    expect(() => compileCel('nope(1)', clock)).toThrow(CelError);
    expect(celRefusal('string(destination.port)', { strings: true })).toBeUndefined();
  });

  it('names attributes that proxies do not have', () => {
    const names = (expression: string) => attributesWithoutValue(parseCel(expression));
    expect(names("request.nope == 'a' && nope.x && has(connection.tls_version)")).toEqual([
      'request.nope',
      'nope.x',
      'connection.tls_version',
    ]);
    expect(names("request.headers['a'] == filter_state.downstream_peer.app && metadata.filter_metadata.a.b")).toEqual(
      [],
    );
  });

  it('is text in a label', () => {
    const text = (expression: string) => labelText(compileCel(expression, clock, { strings: true })(request()));
    expect(text('string(destination.port)')).toBe('9080');
    expect(text('response.code')).toBe('404');
    expect(text('true')).toBe('true');
    expect(text("request.headers['x-city']")).toBe('é');
    expect(text('request.headers')).toBeUndefined();
    expect(text('request.id')).toBeUndefined();
  });
});

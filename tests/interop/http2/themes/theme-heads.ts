/** Heads of requests, well-formed and malformed, to both versions of upstreams (RFC 9113 section 8). */
import { data, headers, trailers } from '../../../kit/http2/frames.ts';
import type { Field } from '../../../kit/http2/hpack.ts';
import { arrives, asks, type Case, caseOf, type Message, type Request, request, send, type Theme } from '../case.ts';

type Spec = [id: string, own: Request, more?: readonly Field[], rest?: Omit<Message, 'fields'>];
const f = (name: string, value: string): Field => [name, value];
/** With the fields exactly as given. */
type Exact = [id: string, fields: readonly Field[], rest?: Omit<Message, 'fields'>];

const own: Spec[] = [
  ['plain', {}],
  ['post', { method: 'POST' }, [], { body: 'hello' }],
  ['post-length', { method: 'POST' }, [f('content-length', '5')], { body: 'hello' }],
  ['post-empty', { method: 'POST' }, [], { body: '' }],
  ['post-none', { method: 'POST' }],
  ['post-zero', { method: 'POST' }, [f('content-length', '0')]],
  ['get-body', {}, [], { body: 'hello' }],
  ['head', { method: 'HEAD' }],
  ['options-star', { method: 'OPTIONS', path: '*' }],
  ['get-star', { path: '*' }],
  ['delete', { method: 'DELETE' }],
  ['method-custom', { method: 'PURGE' }],
  ['method-lower', { method: 'get' }],
  ['method-space', { method: 'GE T' }],
  ['method-empty', { method: '' }],
  ['method-none', { method: undefined }],
  ['method-long', { method: 'A'.repeat(300) }],
  ['method-crlf', { method: 'GET / HTTP/1.1\r\nx: y' }],
  ['scheme-none', { scheme: undefined }],
  ['scheme-https', { scheme: 'https' }],
  ['scheme-upper', { scheme: 'HTTP' }],
  ['scheme-ftp', { scheme: 'ftp' }],
  ['scheme-empty', { scheme: '' }],
  ['scheme-bad', { scheme: 'ht tp' }],
  ['path-none', { path: undefined }],
  ['path-empty', { path: '' }],
  ['path-relative', { path: 'a/b' }],
  ['path-absolute', { path: 'http://main.test/a' }],
  ['path-query', { path: '/a?b=c&d' }],
  ['path-query-alone', { path: '?a' }],
  ['path-fragment', { path: '/a#b' }],
  ['path-space', { path: '/a b' }],
  ['path-tab', { path: '/a\tb' }],
  ['path-obs', { path: '/\xe9' }],
  ['path-nul', { path: '/a\0b' }],
  ['path-crlf', { path: '/ HTTP/1.1\r\nx: y' }],
  ['path-dots', { path: '/a/../b//c' }],
  ['path-encoded', { path: '/%2e%2E/%41%2f' }],
  ['path-delete', { path: '/a\x7fb' }],
  ['path-brackets', { path: '/a[b]{c}|d^e`"<>\\' }],
  ['authority-none', { authority: undefined }],
  ['authority-empty', { authority: '' }],
  ['authority-port', { authority: 'main.test:8080' }],
  ['authority-upper', { authority: 'MAIN.test' }],
  ['authority-user', { authority: 'me@main.test' }],
  ['authority-space', { authority: 'main .test' }],
  ['authority-obs', { authority: 'm\xe4in.test' }],
  ['authority-crlf', { authority: 'main.test\r\nx: y' }],
  ['authority-slash', { authority: 'main.test/a' }],
  ['authority-comma', { authority: 'a.test,b.test' }],
  ['authority-v6', { authority: '[::1]:80' }],
  ['host-alone', { authority: undefined }, [f('host', 'main.test')]],
  ['host-same', {}, [f('host', 'main.test')]],
  ['host-other', {}, [f('host', 'other.test')]],
  ['host-empty', {}, [f('host', '')]],
  ['host-two', { authority: undefined }, [f('host', 'main.test'), f('host', 'main.test')]],
  ['host-two-others', {}, [f('host', 'a.test'), f('host', 'b.test')]],
  ['host-bad', { authority: undefined }, [f('host', 'main test')]],
  ['connection', {}, [f('connection', 'close')]],
  ['connection-keep', {}, [f('connection', 'keep-alive')]],
  ['keep-alive', {}, [f('keep-alive', 'timeout=5')]],
  ['proxy-connection', {}, [f('proxy-connection', 'keep-alive')]],
  ['transfer-encoding', { method: 'POST' }, [f('transfer-encoding', 'chunked')], { body: '0\r\n\r\n' }],
  ['transfer-encoding-get', {}, [f('transfer-encoding', 'identity')]],
  ['upgrade', {}, [f('upgrade', 'websocket')]],
  ['http2-settings', {}, [f('http2-settings', 'AAMAAABk')]],
  ['te-trailers', {}, [f('te', 'trailers')]],
  ['te-upper', {}, [f('te', 'Trailers')]],
  ['te-gzip', {}, [f('te', 'gzip')]],
  ['te-both', {}, [f('te', 'trailers, gzip')]],
  ['te-empty', {}, [f('te', '')]],
  ['te-two', {}, [f('te', 'trailers'), f('te', 'trailers')]],
  ['trailer-field', { method: 'POST' }, [f('trailer', 'x-end')], { body: 'a', trailers: [f('x-end', 'yes')] }],
  ['expect', { method: 'POST' }, [f('expect', '100-continue')], { body: 'hello' }],
  ['expect-other', { method: 'POST' }, [f('expect', 'sunshine')], { body: 'hello' }],
  ['name-upper', {}, [f('X-Upper', 'a')]],
  ['name-empty', {}, [f('', 'a')]],
  ['name-space', {}, [f('x a', 'a')]],
  ['name-colon', {}, [f('x:a', 'a')]],
  ['name-underscore', {}, [f('x_a', 'a')]],
  ['name-nul', {}, [f('x\0a', 'a')]],
  ['name-crlf', {}, [f('x\r\na', 'a')]],
  ['name-obs', {}, [f('x\xe9', 'a')]],
  ['name-separators', {}, [f('x(a)', 'a')]],
  ['name-tokens', {}, [f("x!#$%&'*+-.^_`|~9", 'a')]],
  ['value-empty', {}, [f('x-a', '')]],
  ['value-spaces', {}, [f('x-a', ' a ')]],
  ['value-tab', {}, [f('x-a', 'a\tb')]],
  ['value-tab-first', {}, [f('x-a', '\ta')]],
  ['value-nul', {}, [f('x-a', 'a\0b')]],
  ['value-cr', {}, [f('x-a', 'a\rb')]],
  ['value-lf', {}, [f('x-a', 'a\nb')]],
  ['value-crlf', {}, [f('x-a', 'a\r\nx-b: c')]],
  ['value-obs', {}, [f('x-a', 'caf\xe9')]],
  ['value-control', {}, [f('x-a', 'a\x01b')]],
  ['value-delete', {}, [f('x-a', 'a\x7fb')]],
  ['value-quotes', {}, [f('x-a', '"\\\'')]],
  ['repeated', {}, [f('x-a', '1'), f('x-b', '2'), f('x-a', '3')]],
  ['cookies', {}, [f('cookie', 'a=1'), f('cookie', 'b=2'), f('x-a', '1'), f('cookie', 'c=3')]],
  ['cookie-empty', {}, [f('cookie', ''), f('cookie', 'a=1')]],
  ['cookie-alone', {}, [f('cookie', 'a=1; b=2')]],
  ['length-bad', { method: 'POST' }, [f('content-length', 'five')], { body: 'hello' }],
  ['length-negative', { method: 'POST' }, [f('content-length', '-5')], { body: 'hello' }],
  ['length-plus', { method: 'POST' }, [f('content-length', '+5')], { body: 'hello' }],
  ['length-spaced', { method: 'POST' }, [f('content-length', ' 5')], { body: 'hello' }],
  ['length-empty', { method: 'POST' }, [f('content-length', '')], { body: 'hello' }],
  ['length-huge', { method: 'POST' }, [f('content-length', '99999999999999999999')], { body: 'hello' }],
  ['length-zeros', { method: 'POST' }, [f('content-length', '005')], { body: 'hello' }],
  ['length-twice', { method: 'POST' }, [f('content-length', '5'), f('content-length', '5')], { body: 'hello' }],
  ['length-differ', { method: 'POST' }, [f('content-length', '5'), f('content-length', '6')], { body: 'hello' }],
  ['length-list', { method: 'POST' }, [f('content-length', '5, 5')], { body: 'hello' }],
  ['length-head-only', { method: 'POST' }, [f('content-length', '5')]],
  ['length-get', {}, [f('content-length', '5')], { body: 'hello' }],
  ['pseudo-unknown', {}, [f(':foo', 'bar')]],
  ['pseudo-status', {}, [f(':status', '200')]],
  ['pseudo-late', { path: undefined }, [f('x-a', '1'), f(':path', '/')]],
  ['pseudo-path-twice', {}, [f(':path', '/b')]],
  ['pseudo-protocol', {}, [f(':protocol', 'websocket')]],
  ['pseudo-bare', {}, [f(':', 'a')]],
];

/** The body shows that the length was wrong, once the head has been forwarded. */
const mismatched: [id: string, length: string, then: Uint8Array[]][] = [
  ['long', '9', [data(1, 'hello', true)]],
  ['short', '3', [data(1, 'hello', true)]],
  ['zero', '0', [data(1, 'hello', true)]],
  ['trailers', '9', [data(1, 'hello'), trailers(1, [f('x-end', 'yes')])]],
  ['empty-end', '5', [data(1, '', true)]],
  ['short-open', '3', [data(1, 'hello')]],
];

const exact: Exact[] = [
  ['none', []],
  ['method-twice', [f(':method', 'GET'), ...request({})]],
  ['scheme-twice', [f(':scheme', 'http'), ...request({})]],
  ['authority-twice', [f(':authority', 'main.test'), ...request({})]],
  ['reversed', request({}).reverse()],
  ['method-alone', [f(':method', 'GET')]],
];

const fieldsOf = ([id, pseudo, more, rest]: Spec): Exact => [id, request(pseudo, more), rest];
const cases: Case[] = [...own.map(fieldsOf), ...exact].flatMap(([id, fields, rest]) =>
  ['two', 'lenient'].map((on) => asks(`head-${id}-${on}`, on, { fields, ...rest })),
);

const wrongLengths: Case[] = mismatched.flatMap(([name, length, then]) =>
  ['two', 'lenient'].map((on): Case => {
    const id = `head-length-${name}-${on}`;
    const fields = request({ method: 'POST' }, [f('content-length', length), caseOf(id)]);
    return {
      ...{ id, listener: on, two: () => {}, one: () => {} },
      steps: [send(headers(1, fields)), arrives(), send(...then)],
    };
  }),
);

export const heads: Theme = { cases: [...cases, ...wrongLengths] };

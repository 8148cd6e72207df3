import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cidrContains, isIpAddress, parseCidr, parseIp } from './cidr.ts';
import { mostSpecificMatch, resolveHost } from './hosts.ts';
import { matchesLabelSelector } from './labels.ts';
import { compilePathTemplate, normalizePath } from './path.ts';
import { portProtocol } from './protocol.ts';
import { compileRegex, RegexError } from './regex.ts';

describe('regular expressions', () => {
  it.each([
    ['a.*', 'abc', true],
    ['a.*', 'a\nb', false],
    ['.*b', 'ab', true],
    ['.*b', 'a\nb', false],
    ['.*x.*', 'axb', true],
    ['a', 'ab', false],
    ['a|ab', 'ab', true],
    ['(?i)ABC', 'abc', true],
    ['\\d{3}', '123', true],
    ['v1\\.2', 'v1x2', false],
    ['^/api$', '/api', true],
    ['', '', true],
    ['.*', '', true],
  ])('%s on %j: %s', (pattern, text, wanted) => expect(compileRegex(pattern).matches(text)).toBe(wanted));

  it.each([
    ['(?=a)', 'look-around is not'],
    ['(?!a)', 'look-around is not'],
    ['(?<=a)', 'look-around is not'],
    ['(?<!a)b', 'look-around is not'],
    ['(a)\\1', 'back-references are not'],
    ['(?P<n>a)(?P=n)', 'back-references are not'],
    ['(?P<n>a)\\k<n>', 'back-references are not'],
    ['(?>a)', 'atomic groups are not'],
    ['a*+', 'possessive repetition is not'],
    ['a{1,2}+', 'possessive repetition is not'],
    ['(?(1)a|b)', 'conditionals are not'],
    ['(?R)', 'recursion is not'],
    ['(?#x)', 'comments are not'],
    ['\\C', 'matching single bytes (\\C) is not'],
    ['a\\Z', 'this escape is not'],
    ['[a', 'missing closing'],
    ['*', 'did you mean ".*"?'],
    ['a{1001}', 'invalid repeat count'],
    ['x'.repeat(40_000), 'longer than'],
    [`${'(a{100}){100}'.repeat(10)}`, 'invalid repeat count'],
    [`${'(?:a|b|[c-d]e){1000}'.repeat(20)}`, 'too large'],
  ])('refuses %.20s', (pattern, message) => {
    expect(() => compileRegex(pattern)).toThrow(RegexError);
    expect(() => compileRegex(pattern)).toThrow(message);
  });

  it('groups may share a name', () => {
    const regex = compileRegex('(?P<n>a)(?<n>b)[(?P<n>]\\Q(?P<n>\\E\\(?P<n>');
    expect(regex.matches('ab((?P<n>P<n>')).toBe(true);
    expect(regex.find('ab<(?P<n>(P<n>')?.groups.slice(1)).toEqual(['a', 'b']);
  });

  it.each<[string, (n: number) => string]>([
    ['(a+)+b', (n) => 'a'.repeat(n)],
    ['(a|aa)+$', (n) => `${'a'.repeat(n)}b`],
    ['(.*)*x', (n) => 'a'.repeat(n)],
    ['(?:a?){50}a{50}', (n) => 'a'.repeat(n)],
    ['([a-zA-Z]+)*$', (n) => `${'a'.repeat(n)}!`],
    ['^(([a-z])+.)+[A-Z]([a-z])+$', (n) => 'a'.repeat(n)],
    ['(.*a){12}b', (n) => 'a'.repeat(n)],
    ['(?:[ab]*a[ab]{20})+c', (n) => 'ab'.repeat(n / 2)],
    ['(\\w+\\s?)*x', (n) => 'a '.repeat(n / 2)],
  ])('%s takes linear time where backtracking explodes', (pattern, text) => {
    const regex = compileRegex(pattern);
    const before = process.cpuUsage().user;
    regex.matches(text(100_000));
    regex.find(text(100_000));
    // Some microseconds a character are usual; the square of the length alone would be 10^10 steps.
    expect((process.cpuUsage().user - before) / 1e6).toBeLessThan(15);
  });

  it('substitutes as Envoy does', () => {
    expect(compileRegex('^/service/([^/]+)(/.*)$').replaceAll('/service/foo/v1/api', '\\2/instance/\\1')).toBe(
      '/v1/api/instance/foo',
    );
    expect(compileRegex('one').replaceAll('/xxx/one/yyy/one/zzz', 'two')).toBe('/xxx/two/yyy/two/zzz');
    expect(compileRegex('a*').replaceAll('baac', 'x')).toBe('xbxcx');
    expect(compileRegex('q').replaceAll('abc', 'x')).toBe('abc');
    expect(compileRegex('b').replaceAll('abc', '[\\0$1\\\\]')).toBe('a[b$1\\]c');
    expect(() => compileRegex('a').replacer('\\1')).toThrow('names group');
    expect(() => compileRegex('a').replacer('\\x')).toThrow('backslash');
  });

  it('finds with groups', () => {
    expect(compileRegex('(b)|(c)').find('abc')).toEqual({ start: 1, end: 2, groups: ['b', 'b', undefined] });
    expect(compileRegex('z').find('abc')).toBeUndefined();
  });

  it('plain shortcuts mean what the engine means', () => {
    const part = fc.stringMatching(/^[ab/\n]{0,4}$/);
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), part, part, (open, close, literal, text) => {
        fc.pre(!literal.includes('\n'));
        const pattern = `${open ? '.*' : ''}${literal}${close ? '.*' : ''}`;
        // The group keeps the second pattern off the shortcut.
        expect(compileRegex(pattern).matches(text)).toBe(compileRegex(`(?:${pattern})`).matches(text));
      }),
    );
  });
});

describe('addresses', () => {
  it.each([
    ['10.0.0.0/8', '10.255.1.2', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['192.168.1.7', '192.168.1.7', true],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['2001:db8::/32', '2001:db8:1::1', true],
    ['2001:db8::/33', '2001:db8:8000::1', false],
    ['::/0', '1.2.3.4', false],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['10.0.0.0/8', 'no address', false],
    ['10.1.2.3/8', '10.9.9.9', true],
  ])('%s holds %s: %s', (cidr, ip, wanted) => expect(cidrContains(parseCidr(cidr), ip)).toBe(wanted));

  it.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1::2::3',
    ':::',
    '1:2:3',
    '12345::',
    'g::',
    '1.2.3.4::',
    '::1.2.3',
  ])('refuses %j', (text) => {
    expect(parseIp(text)).toBeUndefined();
    expect(() => parseCidr(text)).toThrow(RangeError);
  });
  it.each(['1.2.3.4/33', '1.2.3.4/', '1.2.3.4/-1', '1.2.3.4/08', '::1/129', 'fe80::1%eth0', '1.2.3.4/8/8'])(
    'refuses the range %j',
    (text) => expect(() => parseCidr(text)).toThrow(RangeError),
  );
  it('a zone is for peers, not for configuration', () => {
    expect(isIpAddress('fe80::1%eth0')).toBe(false);
    expect(isIpAddress('fe80::1')).toBe(true);
  });
  it('every range holds its own address', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 0, max: 32 }), (ip, length) => {
        fc.pre(parseIp(ip)?.family === (ip.includes(':') ? 6 : 4));
        expect(cidrContains(parseCidr(`${ip}/${length}`), ip)).toBe(true);
      }),
    );
  });
});

describe('paths', () => {
  it.each([
    ['/a/b', '/a/b'],
    ['/a/../b', '/b'],
    ['/a/%2e%2E/b', '/b'],
    ['/a/./b/.', '/a/b/'],
    ['/..', '/'],
    ['/a/b/..', '/a/'],
    ['/../../a', '/a'],
    ['/a\\..\\b', '/b'],
    ['/%61dmin', '/admin'],
    ['/a%2fb', '/a%2fb'],
    ['/a%2Fb/..', '/'],
    ['/a//b', '/a//b'],
    ['/a b', '/a%20b'],
    ['/a%zz', '/a%zz'],
    ['/\u00e9', '/%E9'],
    ['a', '/a'],
    ['', '/'],
    ['*', '*'],
    ['/x/..;/admin', '/admin'],
    ['/..;/admin', '/admin'],
    ['/x/..;a=b/admin', '/admin'],
    ['/x/..;a=b;c\\d/admin', '/admin'],
    ['/x/.;/y/.;a', '/x/y/'],
    ['/x/..;', '/'],
    ['/x;a=b/y;/..;', '/x;a=b/'],
    ['/x/...;/.a;/..%3b/', '/x/...;/.a;/..%3b/'],
    ['/x/..;%00/y', '/y'],
    ['/%2%65', '/%252e'],
    ['/%%32e', '/%252e'],
    ['/%%32%65', '/%252e'],
    ['/%%41', '/%A'],
    ['/%%', '/%%'],
  ])('%j is %j', (path, wanted) => expect(normalizePath(path)).toBe(wanted));
  it.each(['/a#b', '/a%00b', '/a\u0000', '/%2e%2e;/a', '/x/.%2E;a=b/c', '/x\\..;/a', '/%2e;'])('refuses %j', (path) =>
    expect(normalizePath(path)).toBeUndefined(),
  );
  it('merges and unescapes slashes before policies read the path', () => {
    expect(normalizePath('//a///b//', { mergeSlashes: true })).toBe('/a/b/');
    expect(normalizePath('/a%2f..%5Cb', { escapedSlashes: 'UNESCAPE_AND_FORWARD' })).toBe('/b');
    expect(normalizePath('/a%2fb', { escapedSlashes: 'REJECT_REQUEST' })).toBeUndefined();
    expect(normalizePath('/x%2f..;%2fadmin', { escapedSlashes: 'UNESCAPE_AND_FORWARD' })).toBe('/admin');
    expect(normalizePath('//..;//', { mergeSlashes: true })).toBe('//');
    expect(normalizePath('/..;/a', { normalize: false })).toBe('/..;/a');
    expect(normalizePath('/a%2f%2fb', { escapedSlashes: 'UNESCAPE_AND_FORWARD', mergeSlashes: true })).toBe('/a/b');
  });
  it('is stable after one pass and has no dot segments', () => {
    const text = fc.array(
      fc.constantFrom('/', '.', '..', '%2e', '\\', 'a', '%2f', '%', ' ', '//', '%41', ';', '/..;', '%3b', '2', '%65'),
      {
        maxLength: 12,
      },
    );
    fc.assert(
      fc.property(text, (parts) => {
        const once = normalizePath(`/${parts.join('')}`, { mergeSlashes: true });
        if (once === undefined) return;
        expect(normalizePath(once, { mergeSlashes: true })).toBe(once);
        expect(once).not.toMatch(/(^|\/)\.{1,2}(;|\/|$)/);
      }),
    );
  });
  it('templates', () => {
    expect(compilePathTemplate('/foo/{*}/bar').matches('/foo/x/bar')).toBe(true);
    expect(compilePathTemplate('/foo/{*}/bar').matches('/foo/x/y/bar')).toBe(false);
    expect(compilePathTemplate('/foo/{**}').matches('/foo/x/y')).toBe(true);
    expect(compilePathTemplate('/foo.x/*').matches('/fooyx/a')).toBe(false);
    expect(() => compilePathTemplate('/a/{b}')).toThrow(RangeError);
  });
});

it('short host names belong to the namespace', () => {
  expect(resolveHost('reviews', 'shop', 'cluster.local')).toBe('reviews.shop.svc.cluster.local');
  expect(resolveHost('reviews.other', 'shop', 'cluster.local')).toBe('reviews.other');
  expect(resolveHost('*', 'shop', 'cluster.local')).toBe('*');
  expect(resolveHost('::1', 'shop', 'cluster.local')).toBe('::1');
});

it('the most specific pattern wins', () => {
  expect(mostSpecificMatch('a.b.com', ['*', '*.com', '*.b.com', 'x.b.com'])).toBe('*.b.com');
  expect(mostSpecificMatch('a.b.com', ['*.b.com', 'a.b.com'])).toBe('a.b.com');
  expect(mostSpecificMatch('a.org', ['*.com'])).toBeUndefined();
});

it('label selectors', () => {
  const labels = { app: 'a', tier: 'web' };
  expect(matchesLabelSelector(undefined, labels)).toBe(true);
  expect(matchesLabelSelector({ matchExpressions: [{ key: 'app', operator: 'In', values: ['a'] }] }, labels)).toBe(
    true,
  );
  expect(matchesLabelSelector({ matchExpressions: [{ key: 'x', operator: 'NotIn', values: ['a'] }] }, labels)).toBe(
    true,
  );
  expect(matchesLabelSelector({ matchExpressions: [{ key: 'x', operator: 'Exists' }] }, labels)).toBe(false);
  expect(matchesLabelSelector({ matchExpressions: [{ key: 'x', operator: 'DoesNotExist' }] }, labels)).toBe(true);
  expect(matchesLabelSelector({ matchLabels: { app: 'b' } }, labels)).toBe(false);
  expect(matchesLabelSelector({ matchLabels: { constructor: 'x' } }, labels)).toBe(false);
});

it('ports of server-first protocols are never sniffed', () => {
  expect(portProtocol(3306, '')).toBe('TCP');
  expect(portProtocol(8080, '')).toBe('UNSUPPORTED');
  expect(portProtocol(8080, 'grpc-web-x')).toBe('GRPC-WEB');
  expect(portProtocol(8080, 'http', 'UDP')).toBe('UDP');
});

/** Requests in many spellings: what clients write to reach a path, host or header past a policy. */
import fc from 'fast-check';

const often = [
  ...['/', '/', '/', '/', '.', '..', '/..', '/.', ';', '/..;', '/.;', 'admin', '/admin', 'x', '/x', '/x/..', 'a=b'],
  ...['%2e', '%2E', '%2f', '%2F', '%5c', '%5C', '%3b', '%3B', '\\', '//', '%252e', '%252f', '%255c', '%253b'],
];
const seldom = [
  ...[
    '%',
    '%2',
    '%zz',
    '%%32',
    '%32e',
    '%%32e',
    '%2%65',
    '%%35c',
    '%00',
    '%0',
    '%61',
    '%41',
    '%7e',
    '%7E',
    '%20',
    '%25',
    '%c0%ae',
    '%c0%af',
    '%e9',
    '%u002e',
  ],
  ...['?', '?a=/../b', '?/..;/admin', '#', '#frag', '%23', '%3f', '"', '<', '>', '^', '`', '{', '|', '}', "'", '*'],
  ...[
    '\x7f',
    '\xe9',
    '\xc3\xa9',
    '\xa0',
    '\x85',
    ':',
    '@',
    '&',
    '=',
    '+',
    ',',
    '!',
    '$',
    '(',
    ')',
    '~',
    '-',
    '_',
    '[',
    ']',
  ],
  ...['/api', 'api', '/r1/', '/v1/secret', '/folded', '/FOLDED', '/Admin', '/target', '/u/a/x', '...', '/...', '/...;'],
];
const piece = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...often) },
  { weight: 1, arbitrary: fc.constantFrom(...seldom) },
);
const pieces = (maxLength: number) => fc.array(piece, { maxLength }).map((parts) => parts.join(''));
/** A way to write a segment that a server may take for `..` or `.`. */
const dots = fc
  .tuple(
    fc.constantFrom('..', '.', '%2e%2e', '.%2e', '%2E.', '%2e', '%252e%252e', '...'),
    fc.constantFrom('', '', ';', ';a=b', ';a=b;c', '%3b', ';%2f', ';/', ';\\', ';.', '%00', ';x?y'),
  )
  .map(([dot, parameters]) => dot + parameters);
const slash = fc.constantFrom('/', '/', '/', '//', '\\', '%2f', '%5C', '/./', '/;/', '/;a=b/');
/** `/x/..;/admin` in its many spellings. */
const climbing = fc
  .tuple(
    fc.constantFrom('', '/x', '/x/y', '/x;p=1', '/%78'),
    fc.array(fc.tuple(slash, dots), { minLength: 1, maxLength: 3 }).map((steps) => steps.flat().join('')),
    slash,
    fc.constantFrom(
      'admin',
      'admin',
      '%61dmin',
      'admin/x',
      'admin;x',
      'admin%3bx',
      'api',
      'v1/secret',
      'target',
      'u/a/x',
      '',
    ),
    fc.constantFrom('', '', '/', '/.', '/..', '..;', '/..;', '?q', '?q=/..;/', ';', '#f', '/./', '%2f..;', '/.;x'),
  )
  .map((parts) => parts.join(''));

const path = fc.oneof(
  { weight: 3, arbitrary: climbing },
  { weight: 2, arbitrary: pieces(8).map((rest) => `/${rest}`) },
  { weight: 1, arbitrary: fc.tuple(pieces(3), climbing).map(([front, rest]) => `/${front}${rest}`) },
);

/** Request targets: origin form, absolute form, and what is neither. */
export const target = fc.oneof(
  { weight: 10, arbitrary: path },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('http://any.test', 'HTTP://Any.Test', 'https://any.test:8'), path)
      .map((both) => both.join('')),
  },
  { weight: 1, arbitrary: pieces(4).filter((text) => text !== '') },
);

const letters = (text: string) =>
  fc
    .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map((upper) => [...text].map((char, i) => (upper[i] ? char.toUpperCase() : char)).join(''));
const name = fc
  .constantFrom('deny.test', 'exact.test', 'sub.deny.test', 'any.test')
  .chain((text) => fc.oneof(fc.constant(text), letters(text)));
/** A host as clients write it, also wrongly; `PORT` means the listener's own. */
const host = fc
  .tuple(
    fc.constantFrom('', '', '', '', '', 'user@', 'a:b@', '.', 'deny.test@', '%64'),
    name,
    fc.constantFrom('', '', '', '.', '..', '%2e', '\\', ';a', ','),
    fc.constantFrom('', '', ':80', ':PORT', ':0', ':00080', ':99999', ':', ':80:80', ':a'),
  )
  .map((parts) => parts.join(''));
const blank = fc.constantFrom('', ' ', ' ', ' ', '\t', '  ');

const method = fc.oneof(
  { weight: 8, arbitrary: fc.constant('GET') },
  { weight: 2, arbitrary: fc.constant('DELETE') },
  { weight: 3, arbitrary: fc.constantFrom('POST', 'PUT', 'PATCH', 'OPTIONS', 'TRACE', 'PURGE', 'FOO', 'DELETEX') },
  { weight: 1, arbitrary: letters('delete') },
);
const field = fc
  .tuple(
    fc.oneof(
      letters('x-role'),
      fc.constantFrom(
        'x-role',
        'x_role',
        'X_Role',
        'x-role_',
        'x_scheme',
        'x-scheme',
        'x-forwarded-proto',
        'Connection',
        'x-other',
      ),
    ),
    fc.oneof({ weight: 12, arbitrary: fc.constant('') }, { weight: 1, arbitrary: fc.constant(' ') }),
    blank,
    fc.constantFrom(
      'admin',
      'admin',
      'Admin',
      'user',
      '',
      'admin,user',
      'user,admin',
      '"admin"',
      'judged',
      'https',
      'HTTPS',
      'x-role',
      'x_role',
      'adm\xefn',
    ),
    blank,
  )
  // The document excuses that we replace a wrong x-forwarded-proto (echo-xff-proto-bad): Envoy finds no route for an empty one.
  .filter(([key, , , value]) => key !== 'x-forwarded-proto' || value !== '')
  .map(([key, gap, before, value, after]) => `${key}${gap}:${before}${value}${after}`);

/** Values with bytes beyond ASCII, as Latin-1 and as UTF-8. */
const note = fc
  .array(
    fc.constantFrom(
      ...['secret', 'hidden', 'x', ' ', '\xff', '\xe9', '\xc3\xa9', '\x85', '\xa0', '\xc0\xae', '\xe2\x80\xa8', 'caf'],
      ...['caf\xc3\xa9', 'caf\xe9', 'cafE', 'bl\xc3\xa5b\xc3\xa6r', 'bl\xe5b\xe6r', '\t'],
    ),
    { minLength: 1, maxLength: 3 },
  )
  .map((parts) => `x-note: ${parts.join('')}`);

/** A request by its parts: what it asks for, of whom, how. */
export interface NamedRequest {
  readonly method: string;
  /** Scheme and host of an absolute-form target, or ''. */
  readonly origin: string;
  readonly path: string;
  readonly host: string;
  readonly fields: readonly string[];
}

export const namedRequest: fc.Arbitrary<NamedRequest> = fc.record({
  method,
  origin: fc.oneof(
    { weight: 4, arbitrary: fc.constant('') },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.constantFrom('http://', 'https://', 'HtTp://'), host).map((both) => both.join('')),
    },
  ),
  path: fc.constantFrom('/', '/', '/x/y', '/admin', '/api?x=/admin'),
  host: fc.oneof({ weight: 1, arbitrary: fc.constant('any.test') }, { weight: 1, arbitrary: host }),
  fields: fc.array(fc.oneof({ weight: 3, arbitrary: field }, { weight: 1, arbitrary: note }), { maxLength: 3 }),
});

/** @param port of the listener */
export function headOf(
  { method: verb, origin, path: where, host: authority, fields }: NamedRequest,
  port: number,
): string {
  const lines = [`${verb} ${origin}${where} HTTP/1.1`, `Host: ${authority}`, ...fields, '', ''];
  return lines.join('\r\n').replaceAll('PORT', String(port));
}

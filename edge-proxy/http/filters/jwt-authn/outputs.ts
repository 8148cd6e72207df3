/** What a verified token leaves in a request: headers of its claims, and its payload as dynamic metadata. */
import { encodeBase64 } from '../../../../shared/jwt/base64url.ts';
import { outputHeaderProblem } from '../../../../shared/jwt/output-header.ts';
import { wireText } from '../../../../shared/match/wire.ts';
import type { JwtProvider } from '../../../../shared/xds/filters/jwt-authn.ts';
import { ConfigError } from '../../../config-error.ts';
import type { Token } from './token.ts';

export type Metadata = Readonly<Record<string, unknown>>;

export interface Outputs {
  /** Lower-case name and value. */
  readonly headers: readonly (readonly [key: string, value: string])[];
  /** By key of the filter's metadata; undefined: nothing is written. */
  readonly metadata: Metadata | undefined;
}

export type MakeOutputs = (token: Pick<Token, 'header' | 'payload' | 'payloadPart'>) => Outputs;

type Settings = Pick<
  JwtProvider,
  | 'claimToHeaders'
  | 'forwardPayloadHeader'
  | 'padForwardPayloadHeader'
  | 'headerInMetadata'
  | 'payloadInMetadata'
  | 'normalizePayloadInMetadata'
>;

/**
 * Lower-case names of the headers that only a verified token may set.
 * @throws ConfigError for one that no token may set
 */
export function outputHeaders({ forwardPayloadHeader, claimToHeaders = [] }: Settings, path: string): string[] {
  if (forwardPayloadHeader) checkHeader(forwardPayloadHeader, `${path}.forwardPayloadHeader`);
  for (const [i, { headerName }] of claimToHeaders.entries())
    checkHeader(headerName, `${path}.claimToHeaders[${i}].headerName`);
  const names = claimToHeaders.map(({ headerName }) => headerName);
  return [...(forwardPayloadHeader ? [forwardPayloadHeader] : []), ...names].map((name) => name.toLowerCase());
}

function checkHeader(name: string, path: string): void {
  const problem = outputHeaderProblem(name);
  if (problem !== undefined) throw new ConfigError(path, problem);
}

export function compileOutputs(settings: Settings): MakeOutputs {
  const { forwardPayloadHeader = '', padForwardPayloadHeader = false, claimToHeaders = [] } = settings;
  const payloadHeader = forwardPayloadHeader.toLowerCase();
  const claims = claimToHeaders.map(({ headerName, claimName }) => [headerName.toLowerCase(), claimName] as const);
  const metadataOf = compileMetadata(settings);
  return (token) => {
    const headers: [string, string][] = [];
    if (payloadHeader !== '')
      headers.push([payloadHeader, padForwardPayloadHeader ? padded(token.payloadPart) : token.payloadPart]);
    for (const [header, claim] of claims) {
      const value = headerValue(claimOf(token.payload, claim));
      if (value !== undefined) headers.push([header, value]);
    }
    return { headers, metadata: metadataOf(token) };
  };
}

function padded(part: string): string {
  return part.padEnd(Math.ceil(part.length / 4) * 4, '=');
}

/** `a.b`: the claim `b` of the claim `a`. */
function claimOf(payload: Readonly<Record<string, unknown>>, name: string): unknown {
  let value: unknown = payload;
  for (const key of name.split('.'))
    value =
      typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, key)
        ? (value as Record<string, unknown>)[key]
        : undefined;
  return value;
}

/** These end or split a header field. */
const NOT_IN_HEADER = /[\u0000-\u001f\u007f]/;
const encoder = new TextEncoder();

/** As in Envoy; undefined: no header. A text with control characters has none: it could end the header and begin another one. */
function headerValue(claim: unknown): string | undefined {
  switch (typeof claim) {
    case 'string':
      return claim === '' || NOT_IN_HEADER.test(claim) ? undefined : wireText(claim);
    case 'number':
      return numberText(claim);
    case 'boolean':
      return String(claim);
    case 'object':
      return claim === null ? undefined : encodeBase64(encoder.encode(JSON.stringify(claim)));
    default:
      return undefined;
  }
}

/** Integers of 64 bits without a sign as such, other numbers with six decimals. */
function numberText(value: number): string {
  if (value < 0 || value >= 2 ** 64 || !Number.isInteger(value)) return decimals(value);
  return BigInt(value).toString();
}

/** `%f` of C. */
function decimals(value: number): string {
  return Math.abs(value) < 1e21 ? value.toFixed(6) : `${BigInt(value)}.000000`;
}

function compileMetadata(settings: Settings): (token: Pick<Token, 'header' | 'payload'>) => Metadata | undefined {
  const { headerInMetadata, payloadInMetadata, normalizePayloadInMetadata } = settings;
  const lists = normalizePayloadInMetadata?.spaceDelimitedClaims ?? [];
  if (!headerInMetadata && !payloadInMetadata) return () => undefined;
  return ({ header, payload }) => ({
    ...(headerInMetadata && { [headerInMetadata]: header }),
    ...(payloadInMetadata && { [payloadInMetadata]: normalized(payload, lists) }),
  });
}

/** Claims that are texts of several words become lists of these. */
function normalized(payload: Readonly<Record<string, unknown>>, names: readonly string[]): Metadata {
  const found = names.filter((name) => Object.hasOwn(payload, name) && typeof payload[name] === 'string');
  if (found.length === 0) return payload;
  const lists = found.map(
    (name) => [name, (payload[name] as string).split(' ').filter((word) => word !== '')] as const,
  );
  // A text without a word stays as it is.
  return { ...payload, ...Object.fromEntries(lists.filter(([, words]) => words.length > 0)) };
}

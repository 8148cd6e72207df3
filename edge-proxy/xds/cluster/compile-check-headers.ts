/** The header fields of health checks: what is configured, applied once to the headers of every check. */
import { wireText } from '../../../shared/match/wire.ts';
import type { HeaderValueOption } from '../../../shared/xds/core.ts';
import { ConfigError } from '../../config-error.ts';
import { isToken } from '../../http/codec/h1/fields.ts';
import type { Field } from '../../http/codec/h2/fields.ts';

/** Framing and connection-level fields. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding']);
const OF_CONNECTIONS: ReadonlySet<string> = new Set(['connection', 'proxy-connection', 'keep-alive', 'upgrade', 'te']);

export interface CheckHeaders {
  /** The headers of every check, names in lower case. */
  readonly base: readonly Field[];
  readonly add: readonly HeaderValueOption[] | undefined;
  readonly remove?: readonly string[] | undefined;
  readonly http2: boolean;
}

/**
 * Removals, then additions in their order. Appending to a field of the base makes one field of both, as in Envoy.
 * @returns names as they are configured; in lower case for HTTP/2
 * @throws ConfigError for an invalid or a forbidden field
 */
export function checkHeaders({ base, add = [], remove = [], http2 }: CheckHeaders, path: string): Field[] {
  const removed = new Set(remove.map((name) => name.toLowerCase()));
  let fields: Field[] = base.filter(([name]) => !removed.has(name));
  const joins = new Set(fields.map(([name]) => name));
  for (const [i, option] of add.entries()) {
    const at = `${path}[${i}]`;
    const field = fieldOf(option, http2, at);
    const key = field[0].toLowerCase();
    const same = ([name]: Field) => name.toLowerCase() === key;
    const known = fields.some(same);
    const action = option.appendAction ?? (option.append === false ? 'OVERWRITE_IF_EXISTS_OR_ADD' : undefined);
    if (field[1] === '' && !option.keepEmptyValue) continue;
    if (action === 'OVERWRITE_IF_EXISTS_OR_ADD' || (action === 'OVERWRITE_IF_EXISTS' && known))
      fields = [...fields.filter((one) => !same(one)), field];
    else if (action === 'OVERWRITE_IF_EXISTS' || (action === 'ADD_IF_ABSENT' && known)) continue;
    else if (known && joins.has(key))
      fields = fields.map((one) => (same(one) ? [one[0], `${one[1]},${field[1]}`] : one));
    else fields = [...fields, field];
  }
  return fields;
}

function fieldOf({ header }: HeaderValueOption, http2: boolean, path: string): Field {
  const key = header.key.toLowerCase();
  const value = literal(wireText(header.value ?? ''), path).replace(/^[ \t]+|[ \t]+$/g, '');
  if (!isToken(key) || /[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))
    throw new ConfigError(path, 'must be a header field');
  if (key === 'host' || FRAMING.has(key) || (http2 && OF_CONNECTIONS.has(key)))
    throw new ConfigError(path, `must not be ${key}`);
  return [http2 ? key : header.key, value];
}

/** A check has no request to read properties of: of Envoy's format only `%%`. */
function literal(text: string, path: string): string {
  if (/%/.test(text.replaceAll('%%', '')))
    throw new ConfigError(path, 'must hold no "%" command; a literal one is "%%"');
  return text.replaceAll('%%', '%');
}

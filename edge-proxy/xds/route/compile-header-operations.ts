/** Header operations of table, virtual host, route and weighted cluster, folded into one list in Envoy's order. */
import type { HeaderValueOption } from '../../../shared/xds/core.ts';
import { ConfigFault } from '../../config-error.ts';
import type { HeaderMap } from '../../http/message/header-map.ts';
import type { RequestContext } from '../../http/stream.ts';
import type { Clock } from '../../runtime/runtime.ts';
import { compileFormat, type Format } from './compile-format.ts';

export interface HeaderOperations {
  requestHeadersToAdd?: HeaderValueOption[];
  requestHeadersToRemove?: string[];
  responseHeadersToAdd?: HeaderValueOption[];
  responseHeadersToRemove?: string[];
}
/** One holder of operations and where it stands in the config. */
export interface Level {
  path: string;
  config: HeaderOperations;
  /** Of a weighted cluster. */
  weighted?: boolean;
}
export type HeaderEdit = (request: RequestContext, headers: HeaderMap) => void;

type Action = NonNullable<HeaderValueOption['appendAction']>;
interface Addition {
  name: string;
  key: string;
  value: Format;
  action: Action;
  keepEmpty: boolean;
}

/**
 * @param levels most specific first
 * @param mostSpecificWins the most specific is applied last; Envoy's default is first
 * @param clock what formats of times read
 */
export function compileHeaderEdit(
  side: 'request' | 'response',
  levels: readonly Level[],
  mostSpecificWins: boolean,
  clock: Clock,
): HeaderEdit {
  const ordered = mostSpecificWins ? specificLast(levels) : levels;
  const edits = ordered.flatMap(({ path, config }) => compileLevel(side, path, config, clock));
  if (edits.length === 0) return () => {};
  if (edits.length === 1) return edits[0]!;
  return (request, headers) => {
    for (const edit of edits) edit(request, headers);
  };
}

/** A weighted cluster comes first in any case, as in Envoy: there it treats the headers before its route does. */
function specificLast(levels: readonly Level[]): Level[] {
  const weighted = levels.filter((level) => level.weighted);
  return [...weighted, ...levels.filter((level) => !weighted.includes(level)).reverse()];
}

/** Removals, then replacements, then additions: whatever the order they are written in. */
function compileLevel(
  side: 'request' | 'response',
  path: string,
  config: HeaderOperations,
  clock: Clock,
): HeaderEdit[] {
  const removals = config[`${side}HeadersToRemove`] ?? [];
  const options = config[`${side}HeadersToAdd`] ?? [];
  const removed = removals.map((name) => editableKey(name, `${path}.${side}HeadersToRemove`));
  const all = options.map((option, i) => compileAddition(option, `${path}.${side}HeadersToAdd[${i}]`, clock));
  const additions = [...all.filter((one) => replaces(one.action)), ...all.filter((one) => !replaces(one.action))];
  if (removed.length === 0 && additions.length === 0) return [];
  return [
    (request, headers) => {
      for (const key of removed) headers.remove(key);
      for (const addition of additions) apply(addition, request, headers);
    },
  ];
}

function replaces(action: Action): boolean {
  return action === 'OVERWRITE_IF_EXISTS_OR_ADD' || action === 'OVERWRITE_IF_EXISTS';
}

function compileAddition(option: HeaderValueOption, path: string, clock: Clock): Addition {
  const { header, append, keepEmptyValue = false } = option;
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z:]+$/.test(header.key))
    throw new ConfigFault(path, `"${header.key}" is no header name`);
  const action = option.appendAction ?? (append === false ? 'OVERWRITE_IF_EXISTS_OR_ADD' : 'APPEND_IF_EXISTS_OR_ADD');
  return {
    name: header.key,
    key: editableKey(header.key, path),
    value: compileFormat(header.value ?? '', `${path}.header.value`, clock),
    action,
    keepEmpty: keepEmptyValue,
  };
}

/** Pseudo headers and Host are changed by rewrites only, as in Envoy. */
function editableKey(name: string, path: string): string {
  const key = name.toLowerCase();
  if (key.startsWith(':') || key === 'host')
    throw new ConfigFault(path, `"${name}" may not be changed by a header operation`);
  return key;
}

function apply(addition: Addition, request: RequestContext, headers: HeaderMap): void {
  const { key, action } = addition;
  const value = addition.value(request);
  if (value === '' && !addition.keepEmpty) return;
  if (action === 'OVERWRITE_IF_EXISTS_OR_ADD') headers.set(key, value);
  else if (action === 'OVERWRITE_IF_EXISTS') {
    if (headers.has(key)) headers.set(key, value);
  } else if (action === 'APPEND_IF_EXISTS_OR_ADD' || !headers.has(key)) headers.append(addition.name, value, key);
}

/** Lists of header mutations -> edits, one after the other in the order in which they are written. */
import type { Mutation, Mutations } from '../../../../shared/xds/filters/header-mutation.ts';
import { ConfigError } from '../../../config-error.ts';
import { compileHeaderEdit, type HeaderEdit } from '../../headers/compile-header-operations.ts';

export interface HeaderEdits {
  readonly request: readonly HeaderEdit[];
  readonly response: readonly HeaderEdit[];
}

/** @throws ConfigError naming the field */
export function compileMutations(mutations: Mutations | undefined, path: string, now: () => number): HeaderEdits {
  const { requestMutations = [], responseMutations = [] } = mutations ?? {};
  const at = path === '' ? 'mutations' : `${path}.mutations`;
  return {
    request: requestMutations.map((one, i) => compileOne('request', one, `${at}.requestMutations[${i}]`, now)),
    response: responseMutations.map((one, i) => compileOne('response', one, `${at}.responseMutations[${i}]`, now)),
  };
}

function compileOne(
  side: 'request' | 'response',
  { remove, append }: Mutation,
  path: string,
  now: () => number,
): HeaderEdit {
  if ((remove === undefined || remove === '') === (append === undefined))
    throw new ConfigError(path, 'must have remove or append');
  const config = append ? { [`${side}HeadersToAdd`]: [append] } : { [`${side}HeadersToRemove`]: [remove!] };
  return compileHeaderEdit(side, [{ path, config }], false, { now, monotonicMs: now });
}

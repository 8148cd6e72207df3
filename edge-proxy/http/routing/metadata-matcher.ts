/** envoy.type.matcher.v3.MetadataMatcher as a closure over the dynamic metadata of a request. Throws ConfigError while compiling. */
import type { MetadataMatcher, ValueMatcher } from '../../../shared/xds/match/metadata-matcher.ts';
import { ConfigError } from '../../config-error.ts';
import type { RequestContext } from '../request/request-context.ts';
import { compileStringMatcher } from './matchers.ts';

/** @param metadata of all filters; undefined: no filter has written any, or there is no request */
export type MetadataMatch = (metadata: RequestContext['metadata']) => boolean;

export function compileMetadataMatcher(matcher: MetadataMatcher, path: string): MetadataMatch {
  const { invert = false } = matcher;
  const keys = [matcher.filter, ...matcher.path.map((one) => one.key ?? '')];
  const matches = compileValue(matcher.value, `${path}.value`);
  return (metadata) => {
    let value: unknown = metadata;
    for (const key of keys)
      value =
        typeof value === 'object' && value !== null && Object.hasOwn(value, key)
          ? (value as Record<string, unknown>)[key]
          : undefined;
    return matches(value) !== invert;
  };
}

/** The name of the one field that a message with a oneof has. */
export function onlyField(message: object, path: string): string {
  const fields = Object.entries(message).filter(([, value]) => value !== undefined);
  if (fields.length !== 1) throw new ConfigError(path, 'must have exactly one field');
  return fields[0]![0];
}

function compileValue(matcher: ValueMatcher, path: string): (value: unknown) => boolean {
  const field = onlyField(matcher, path);
  const at = `${path}.${field}`;
  switch (field) {
    case 'nullMatch':
      return (value) => value === null;
    case 'boolMatch':
      return (value) => value === matcher.boolMatch;
    case 'presentMatch':
      return (value) => (value !== undefined) === matcher.presentMatch;
    case 'stringMatch': {
      const matches = compileStringMatcher(matcher.stringMatch!, at, 'text');
      return (value) => typeof value === 'string' && matches(value);
    }
    case 'listMatch': {
      const matches = compileValue(matcher.listMatch?.oneOf ?? {}, `${at}.oneOf`);
      return (value) => Array.isArray(value) && value.some(matches);
    }
    case 'orMatch': {
      const all = (matcher.orMatch?.valueMatchers ?? []).map((one, i) =>
        compileValue(one, `${at}.valueMatchers[${i}]`),
      );
      return (value) => all.some((matches) => matches(value));
    }
    default:
      throw new ConfigError(at, 'is not supported');
  }
}

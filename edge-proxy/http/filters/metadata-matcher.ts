/** envoy.type.matcher.v3.MetadataMatcher over the dynamic metadata of requests and connections, as closures. */
import type { MetadataMatcher, ValueMatcher } from '../../../shared/xds/rbac.ts';
import { attributeMaps } from '../../attributes/attributes.ts';
import type { IncomingTraffic } from '../../attributes/record.ts';
import { ConfigError } from '../../config-error.ts';
import { compileStringMatcher } from '../routing/matchers.ts';

type One = Record<string, unknown>;

/** The name of the only field of a message. Throws ConfigError where it has none, or several. */
export function onlyField(message: One, path: string): string {
  const fields = Object.keys(message).filter((key) => message[key] !== undefined);
  if (fields.length !== 1) throw new ConfigError(path, 'must have exactly one field');
  return fields[0]!;
}

/** Throws ConfigError. */
export function compileMetadata(matcher: MetadataMatcher, path: string): (traffic: IncomingTraffic) => boolean {
  const { filter, invert = false } = matcher;
  const keys = matcher.path.map((one) => one.key ?? '');
  const matches = compileValue(matcher.value, `${path}.value`);
  const ofFilter = attributeMaps.metadata(filter);
  return (traffic) => {
    let value: unknown = ofFilter(traffic);
    for (const key of keys)
      value =
        typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as One)[key] : undefined;
    return matches(value) !== invert;
  };
}

function compileValue(matcher: ValueMatcher, path: string): (value: unknown) => boolean {
  const field = onlyField(matcher as One, path);
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

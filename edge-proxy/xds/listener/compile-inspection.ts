/** What is read of a connection before its filter chain is chosen, by the port that it came to. */
import type { Listener, ListenerPredicate } from '../../../shared/xds/listener.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import { ConfigError } from '../../config-error.ts';
import type { SniffPlan } from '../../listener/sniff.ts';

const FILTERS = 'envoy.extensions.filters.listener';
export const TLS_INSPECTOR = `${FILTERS}.tls_inspector.v3.TlsInspector`;
export const HTTP_INSPECTOR = `${FILTERS}.http_inspector.v3.HttpInspector`;
const DEFAULT_SNIFF_MS = 15_000;

type PortTest = (port: number) => boolean;
const NEVER: PortTest = () => false;
const ALWAYS: PortTest = () => true;

/**
 * @param secure some chain ends TLS
 * @returns undefined: nothing is read at any port
 */
export function compileInspection(
  listener: Listener,
  secure: boolean,
): ((port: number) => SniffPlan | undefined) | undefined {
  const tls = portsOf(listener, TLS_INSPECTOR) ?? (secure || asksForTls(listener) ? ALWAYS : NEVER);
  const http = portsOf(listener, HTTP_INSPECTOR) ?? NEVER;
  if (tls === NEVER && http === NEVER) return undefined;
  const limits = {
    timeoutMs:
      listener.listenerFiltersTimeout === undefined ? DEFAULT_SNIFF_MS : durationMs(listener.listenerFiltersTimeout),
    continueOnTimeout: listener.continueOnListenerFiltersTimeout ?? false,
  };
  const both: SniffPlan = { tls: true, http: true, ...limits };
  const tlsAlone: SniffPlan = { tls: true, http: false, ...limits };
  const httpAlone: SniffPlan = { tls: false, http: true, ...limits };
  return (port) => {
    if (tls(port)) return http(port) ? both : tlsAlone;
    return http(port) ? httpAlone : undefined;
  };
}

/** As Envoy, the TLS inspector is added where chains need what it finds and the listener has none. */
function asksForTls({ filterChains = [] }: Listener): boolean {
  return filterChains.some(({ filterChainMatch: match }) =>
    Boolean(
      match && (match.serverNames?.length || match.applicationProtocols?.length || match.transportProtocol === 'tls'),
    ),
  );
}

/** The ports at which a listener filter runs; undefined: the listener does not have it. */
function portsOf({ listenerFilters = [] }: Listener, type: string): PortTest | undefined {
  const index = listenerFilters.findIndex(({ typedConfig }) => typedConfig['@type'].endsWith(`/${type}`));
  const filter = listenerFilters[index];
  if (!filter) return undefined;
  if (!filter.filterDisabled) return ALWAYS;
  const disabled = compilePredicate(filter.filterDisabled, `listenerFilters[${index}].filterDisabled`);
  return (port) => !disabled(port);
}

/** envoy.config.listener.v3.ListenerFilterChainMatchPredicate: `end` of a range is the first port behind it. */
function compilePredicate(predicate: ListenerPredicate, path: string): PortTest {
  const { anyMatch, destinationPortRange, notMatch, orMatch, andMatch } = predicate;
  const all = (rules: readonly ListenerPredicate[] | undefined, name: string) =>
    (rules ?? []).map((rule, i) => compilePredicate(rule, `${path}.${name}.rules[${i}]`));
  if (notMatch) {
    const inner = compilePredicate(notMatch, `${path}.notMatch`);
    return (port) => !inner(port);
  }
  if (orMatch) {
    const rules = all(orMatch.rules, 'orMatch');
    return (port) => rules.some((rule) => rule(port));
  }
  if (andMatch) {
    const rules = all(andMatch.rules, 'andMatch');
    return (port) => rules.every((rule) => rule(port));
  }
  if (destinationPortRange) {
    const { start = 0, end = 0 } = destinationPortRange;
    return (port) => port >= start && port < end;
  }
  if (anyMatch) return ALWAYS;
  throw new ConfigError(path, 'needs one of anyMatch, destinationPortRange, notMatch, orMatch and andMatch');
}

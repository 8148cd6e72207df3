/**
 * envoy.filters.network.ext_authz: asks a gRPC service about each connection before its first byte goes upstream. Unlike
 * Envoy, which asks when the client's first bytes come, it asks at once, and an upstream is dialled after the verdict. A
 * connection that was accepted is not asked about again under new configuration.
 */
import type { NetworkExtAuthz } from '../../../../shared/xds/filters/ext-authz.ts';
import { ConfigError } from '../../../config-error.ts';
import type { ConnectionContext, ConnectionFilter, Denied } from '../../../listener/connection-filter.ts';
import type { OwnNode } from '../../../telemetry/own-node.ts';
import type { Stats } from '../../../telemetry/stats.ts';
import { compileMetadataMatcher } from '../../routing/metadata-matcher.ts';
import type { SideCall } from '../../side-call/side-call.ts';
import { type CheckForm, connectionCheck } from './check-request.ts';
import { textsOf } from './compile.ts';
import { compileAsk } from './grpc-service.ts';
import type { Verdict } from './verdict.ts';

const NAME = 'envoy.filters.network.ext_authz';
const DENIED: Denied = { details: 'ext_authz_denied', flag: 'UAEX' };
const ERROR: Denied = { details: 'ext_authz_error', flag: 'UAEX' };

export interface NetworkAuthzEnv {
  readonly call: SideCall;
  readonly own: OwnNode | undefined;
  readonly stats: Stats;
}

/** Throws ConfigError. */
export function compileNetworkExtAuthz(
  config: NetworkExtAuthz,
  { call, own, stats }: NetworkAuthzEnv,
): ConnectionFilter {
  const { statPrefix, grpcService, filterEnabledMetadata, failureModeAllow = false } = config;
  if (config.transportApiVersion === 'V2')
    throw new ConfigError('transportApiVersion', 'V2 is not supported: must be V3');
  if (config.sendTlsAlertOnDenial) throw new ConfigError('sendTlsAlertOnDenial', 'is not supported');
  const labelsKey = config.bootstrapMetadataLabelsKey ?? '';
  const form: CheckForm = {
    shows: () => false,
    rawHeaders: false,
    packAsBytes: false,
    peerCertificate: config.includePeerCertificate ?? false,
    tlsSession: config.includeTlsSession ?? false,
    metadataNamespaces: [],
    destinationLabels: labelsKey === '' ? {} : textsOf(own?.metadata?.[labelsKey]),
  };
  const ask = compileAsk(grpcService, call, 'grpcService');
  const enabled = filterEnabledMetadata && compileMetadataMatcher(filterEnabledMetadata, 'filterEnabledMetadata');
  const scope = stats.scope('ext_authz', statPrefix.replace(/\.$/, ''));
  const counters = {
    total: scope.counter('total'),
    ok: scope.counter('ok'),
    denied: scope.counter('denied'),
    error: scope.counter('error'),
    failureModeAllowed: scope.counter('failure_mode_allowed'),
    closed: scope.counter('cx_closed'),
    disabled: scope.counter('disabled'),
    active: scope.gauge('active'),
  };
  const settle = ({ traffic }: ConnectionContext, { kind, ...rest }: Verdict): Denied | undefined => {
    const metadata = 'metadata' in rest ? rest.metadata : undefined;
    if (metadata) (traffic.metadata ??= {})[NAME] = { ...metadata };
    if (kind === 'allowed') {
      counters.ok.value++;
      return undefined;
    }
    const isDenial = kind === 'denied';
    if (isDenial) counters.denied.value++;
    else counters.error.value++;
    if (!isDenial && failureModeAllow) {
      counters.failureModeAllowed.value++;
      return undefined;
    }
    counters.closed.value++;
    return isDenial ? DENIED : ERROR;
  };
  return (context) => {
    if (context.connection === undefined) return undefined;
    if (enabled && !enabled(context.traffic.metadata)) {
      counters.disabled.value++;
      return undefined;
    }
    counters.total.value++;
    counters.active.value++;
    return ask(connectionCheck(form, context.traffic.downstream), context.signal).then((verdict) => {
      counters.active.value--;
      return settle(context, verdict);
    });
  };
}

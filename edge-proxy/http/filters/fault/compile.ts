import type { FractionalPercent } from '../../../../shared/xds/core.ts';
import type { HttpFault } from '../../../../shared/xds/http-filters.ts';
import { durationMs } from '../../../../shared/xds/message.ts';
import { ConfigError } from '../../../config-error.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { LocalReply } from '../../request/request-context.ts';
import { shareOf } from '../../routing/share.ts';
import type { Fault, FaultRule } from './filter.ts';

type Abort = NonNullable<HttpFault['abort']>;
type Delay = NonNullable<HttpFault['delay']>;

/** @throws ConfigError for a status that no response has */
export function compileFault({ delay, abort }: HttpFault, path: string): Fault {
  return {
    delay: delay && compileDelay(delay, `${path}.delay`),
    abort: abort && compileAbort(abort, `${path}.abort`),
  };
}

function compileDelay({ fixedDelay, headerDelay, percentage }: Delay, path: string): FaultRule<number> {
  if ((fixedDelay === undefined) === (headerDelay === undefined))
    throw new ConfigError(path, 'must have fixedDelay or headerDelay');
  if (fixedDelay !== undefined) return always(positive(durationMs(fixedDelay)), percentage);
  return {
    share: shareByHeader('x-envoy-fault-delay-request-percentage', percentage),
    of: (headers) => positive(numberIn(headers, 'x-envoy-fault-delay-request') ?? 0),
  };
}

function compileAbort({ httpStatus, grpcStatus, headerAbort, percentage }: Abort, path: string): FaultRule<LocalReply> {
  if ([httpStatus, grpcStatus, headerAbort].filter((one) => one !== undefined).length !== 1)
    throw new ConfigError(path, 'must have one of httpStatus, grpcStatus and headerAbort');
  if (httpStatus !== undefined) {
    if (!isStatus(httpStatus)) throw new ConfigError(`${path}.httpStatus`, 'must be 200 to 599');
    return always(aborted(httpStatus), percentage);
  }
  if (grpcStatus !== undefined) return always(abortedAs(grpcStatus), percentage);
  return { share: shareByHeader('x-envoy-fault-abort-request-percentage', percentage), of: abortByHeader };
}

/** As in Envoy, of several fields of a name the first counts, and an HTTP status before a gRPC status. */
function abortByHeader(headers: HeaderMap): LocalReply | undefined {
  const status = numberIn(headers, 'x-envoy-fault-abort-request');
  if (status !== undefined && isStatus(status)) return aborted(status);
  const grpcStatus = numberIn(headers, 'x-envoy-fault-abort-grpc-request');
  return grpcStatus === undefined ? undefined : abortedAs(grpcStatus);
}

function always<What>(what: What | undefined, percentage: FractionalPercent | undefined): FaultRule<What> {
  const share = shareOf(percentage);
  return { share: () => share, of: () => what };
}

/** A request may ask for a smaller share, in the units of the configured one. */
function shareByHeader(name: string, percentage: FractionalPercent | undefined): (headers: HeaderMap) => number {
  const share = shareOf(percentage);
  const most = percentage?.numerator ?? 0;
  return (headers) => {
    const asked = numberIn(headers, name);
    return asked === undefined ? share : shareOf({ ...percentage, numerator: Math.min(asked, most) });
  };
}

function numberIn(headers: HeaderMap, key: string): number | undefined {
  const value = headers.get(key);
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

const positive = (ms: number): number | undefined => (ms > 0 ? ms : undefined);
const isStatus = (status: number): boolean => status >= 200 && status <= 599;

function aborted(status: number): LocalReply {
  return { status, body: 'fault filter abort', details: 'fault_filter_abort', flag: 'FI' };
}

/** As in Envoy, a client that does not speak gRPC is answered 200. */
function abortedAs(grpcStatus: number): LocalReply {
  return { ...aborted(200), grpcStatus };
}

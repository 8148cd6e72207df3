import type { Buffer, BufferPerRoute } from '../../../../shared/xds/http-filters.ts';
import { ConfigFault } from '../../../config/config-fault.ts';
import type { Hold } from '../../stream.ts';
import type { RouteBuffer } from './filter.ts';

/** Exactly one of both fields, and `disabled` only as true, as Envoy's validation rules say. Throws ConfigFault. */
export function compileRouteBuffer({ disabled, buffer }: BufferPerRoute, path: string): RouteBuffer {
  if ((disabled === undefined) === (buffer === undefined) || disabled === false)
    throw new ConfigFault(path, 'must have either buffer or disabled: true');
  return { hold: buffer && compileHold(buffer, `${path}.buffer.`) };
}

/** @param path with its dot, '' for the filter's own config. Throws ConfigFault. */
export function compileHold({ maxRequestBytes }: Buffer, path: string): Hold {
  if (maxRequestBytes === 0) throw new ConfigFault(`${path}maxRequestBytes`, 'must be greater than 0');
  return { holdBytes: maxRequestBytes };
}

import type { Buffer, BufferPerRoute } from '../../../../shared/xds/http-filters.ts';
import { ConfigFault } from '../../../config-error.ts';
import type { BufferBody } from '../hooks.ts';
import type { RouteBuffer } from './filter.ts';

/** Exactly one of both fields, and `disabled` only as true, as Envoy's validation rules say. Throws ConfigFault. */
export function compileRouteBuffer({ disabled, buffer }: BufferPerRoute, path: string): RouteBuffer {
  if ((disabled === undefined) === (buffer === undefined) || disabled === false)
    throw new ConfigFault(path, 'must have either buffer or disabled: true');
  return { buffer: buffer && compileBuffer(buffer, `${path}.buffer.`) };
}

/** @param path with its dot, '' for the filter's own config. Throws ConfigFault. */
export function compileBuffer({ maxRequestBytes }: Buffer, path: string): BufferBody {
  if (maxRequestBytes === 0) throw new ConfigFault(`${path}maxRequestBytes`, 'must be greater than 0');
  return { buffer: maxRequestBytes, whenFull: 'reject' };
}

/** envoy.filters.http.buffer */
import { Buffer, BufferPerRoute } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';
import { compileBuffer, compileRouteBuffer } from './compile.ts';
import { createBufferFilter } from './filter.ts';

export const buffer = defineFilter({
  type: 'envoy.extensions.filters.http.buffer.v3.Buffer',
  schema: Buffer,
  route: {
    type: 'envoy.extensions.filters.http.buffer.v3.BufferPerRoute',
    schema: BufferPerRoute,
    compile: ([{ config, path }]) => compileRouteBuffer(config, path),
  },
  create: (config, { routeConfig }) => createBufferFilter(compileBuffer(config, ''), routeConfig),
});

/** Small letters of ASCII in the bodies of responses become capitals, while they stream. */
import { defineFilter } from '../../../edge-proxy/http/filters/definition.ts';
import { REWRITE_BODY } from '../../../edge-proxy/http/filters/hooks.ts';
import { message } from '../../../shared/xds/message.ts';

export const upperCase = defineFilter({
  type: 'tulle.tests.UpperCase',
  schema: message({}),
  create: () => ({
    onResponseHead: (_context, _response, end) => (end ? undefined : REWRITE_BODY),
    onResponseData: (_context, bytes) => bytes.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte)),
  }),
});

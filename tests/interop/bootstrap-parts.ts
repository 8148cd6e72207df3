/** Pieces the shared bootstrap is written with: xDS in its JSON form, snake_case. */
const ANY = 'type.googleapis.com/envoy.extensions.';

export type Json = Record<string, unknown>;
export const any = (name: string, fields: object = {}) => ({ '@type': `${ANY}${name}`, ...fields });
export const filter = (name: string, fields: object = {}): Json => ({
  name: `envoy.filters.http.${name.split('.')[0]}`,
  typed_config: any(`filters.http.${name}`, fields),
});
export const percent = (numerator: number) => ({ numerator, denominator: 'HUNDRED' });
export const header = (key: string, value: string, action: string) => ({
  header: { key, value },
  append_action: action,
});
export const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
export const to = (cluster: string | undefined, more: object = {}) => ({
  route: { ...(cluster && { cluster }), ...more },
});
export const say = (text: string, status = 200) => ({ direct_response: { status, body: { inline_string: text } } });
export const prefix = (value: string, more: object = {}) => ({ match: { prefix: value, ...more } });

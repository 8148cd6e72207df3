/** What the fields of the kind ProxyConfig do. */
import { type FieldTable, inForce, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const PROXY_CONFIG = 'control/compile/node/proxy-config.test.ts';

export const PROXY_CONFIG_FIELDS: FieldTable = {
  ...STATUS,
  'spec.concurrency': inForce('tests/proxy/proxy-config.test.ts', PROXY_CONFIG),
  'spec.environmentVariables{}': inForce('control/compile/node/http-settings.test.ts'),
  'spec.image.**': reported('has no effect: the image is chosen where the proxy is deployed'),
  'spec.selector.matchLabels{}': inForce(PROXY_CONFIG),
};

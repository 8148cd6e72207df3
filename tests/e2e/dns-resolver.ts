/** Points the resolver of this host to the proxy (`set-up`), or puts it back (`put-back`); prints the outcome as JSON. */
import { putBack, setUp } from '../../machine/dns/resolver.ts';

const [what, stateFile = ''] = process.argv.slice(2);
const options = {
  address: '127.0.0.1',
  port: 53,
  searchDomains: ['default.svc.cluster.local'],
  captured: false,
  stateFile,
};
process.stdout.write(JSON.stringify(what === 'set-up' ? setUp(options) : putBack(options)));

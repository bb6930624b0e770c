/** The command line with the demo's configurations of another folder, which `DEMO_CONFIGS` names. */
import process from 'node:process';
import { main } from '../../lib/cli/main.ts';
import { services } from '../../lib/cli/services.ts';
import { readDemoConfig } from '../../lib/demo/config.ts';

void main({
  ...services,
  demoConfig: (choice) => readDemoConfig(choice, process.env.DEMO_CONFIGS),
});

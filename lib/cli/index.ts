#!/usr/bin/env node
/** The executable `animatediff-native`. */
import { main } from './main.ts';
import { services } from './services.ts';

void main(services);

// SPDX-License-Identifier: MIT
// The service in the tmem domain, asked over its control protocol. A service that does not answer is told of once, and asked
// again after some seconds; no call takes longer than one.
#pragma once

#include <functional>
#include <memory>

#include "breathe/breather.h"

namespace tmem::breathe {

std::unique_ptr<Service> open_service(std::function<void(const std::string&)> complain);

}  // namespace tmem::breathe

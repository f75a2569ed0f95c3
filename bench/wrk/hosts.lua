-- Each request to another host: h0.test, h1.test, … The peer's name says how many there are (`stead-10-hosts`).
local requests = {}
local next = 0

function init(arguments)
   local count = tonumber(string.match(arguments[1] or "", "(%d+)%-hosts") or "10000")
   for number = 0, count - 1 do
      -- A prime step: neighbours in the table are not asked for one after the other.
      local host = "h" .. (number * 7919) % count .. ".test"
      requests[number + 1] = wrk.format("GET", nil, { Host = host })
   end
end

function request()
   next = next % #requests + 1
   return requests[next]
end
